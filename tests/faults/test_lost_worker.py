"""Worker processes that the operating system kills, as where memory runs out."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from skmatgnn import DeepEnsembleRegressor, MODNetSearchCV
from skmatgnn.errors import SkmatgnnError, WorkerLostError
from skmatgnn.model_selection import bootstrap_score

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="there is no SIGKILL to send"
)
X = np.arange(20.0)[:, None]
Y = np.arange(20.0)
MESSAGE = r"worker process was killed \(exit codes .*SIGKILL.*Lower n_jobs"


@pytest.fixture
def kills_itself():
    """An estimator that ends its process as the OOM killer does."""

    class KillsItself(RegressorMixin, BaseEstimator):  # local ones are sent by value
        def __init__(self, random_state=None, n_features=9, n_neurons=9, lr=9):
            self.random_state = random_state
            self.n_features, self.n_neurons, self.lr = n_features, n_neurons, lr

        def fit(self, X, y):
            os.kill(os.getpid(), signal.SIGKILL)

        def predict(self, X):
            return np.zeros(len(X))

    return KillsItself()


def test_ensemble__worker_killed__says_why_and_what_to_do(kills_itself):
    model = DeepEnsembleRegressor(kills_itself, n_models=2, n_jobs=2, random_state=0)
    with pytest.raises(WorkerLostError, match=MESSAGE) as caught:
        model.fit(X, Y)
    assert isinstance(caught.value, SkmatgnnError | RuntimeError)
    assert not hasattr(model, "estimators_")


def test_bootstrap__worker_killed__says_why_and_what_to_do(kills_itself):
    with pytest.raises(WorkerLostError, match=MESSAGE):
        bootstrap_score(
            kills_itself, X, Y, method="refit", n_resamples=2, n_jobs=2,
            scoring="r2", random_state=0,
        )  # fmt: skip


def test_search__worker_killed__says_why_and_what_to_do(kills_itself):
    search = MODNetSearchCV(kills_itself, cv=2, n_jobs=2)
    with pytest.raises(WorkerLostError, match=MESSAGE):
        search.fit(X, Y)
