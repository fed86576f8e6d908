import pickle

import numpy as np
import pytest
from sklearn.datasets import make_regression
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score

from skmatgnn import metrics
from skmatgnn.metrics import get_scorer

READY = ("masked_r2", "neg_masked_mae", "neg_smae")


@pytest.mark.parametrize("name", READY)
def test_ready_scorer__in_cross_validation__is_the_named_one(name):
    X, y = make_regression(60, 4, noise=20, random_state=0)
    ready = getattr(metrics, name)
    expected = cross_val_score(Ridge(), X, y, scoring=get_scorer(name))
    for scorer in (ready, pickle.loads(pickle.dumps(ready))):
        np.testing.assert_array_equal(
            cross_val_score(Ridge(), X, y, scoring=scorer, n_jobs=2), expected
        )
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1e4]}, scoring=ready)
    assert search.fit(X, y).best_params_ == {"alpha": 0.1}


@pytest.mark.parametrize("name", READY)
def test_ready_scorer__docstring__names_its_factory(name):
    ready = getattr(metrics, name)
    assert f"get_scorer('{name}')" in ready.__doc__
    assert get_scorer(name) is not ready
