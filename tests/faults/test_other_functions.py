"""checkpoint_dir with functions among the settings, which have no other names."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import LambdaLR


def decaying(rate):
    scheduler = LRScheduler(LambdaLR, lr_lambda=lambda epoch: rate**epoch)
    return {"lr_schedule": "constant", "callbacks": [scheduler]}


def momentum(value):
    return {"net_params": {"optimizer": partial(torch.optim.SGD, momentum=value)}}


@pytest.mark.parametrize("settings", [decaying, momentum])
def test_fit__another_function_of_the_same_name__starts_afresh(
    make_model, data, tmp_path, settings
):
    for value in (0.5, 0.9, 0.5):
        expected = make_model(**settings(value)).fit(data.X, data.y)
        model = make_model(**settings(value), checkpoint_dir=tmp_path)
        found = model.fit(data.X, data.y).predict(data.X)
        np.testing.assert_array_equal(found, expected.predict(data.X))
    assert len(list(tmp_path.iterdir())) == 2
