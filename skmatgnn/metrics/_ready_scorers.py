"""Scorers without options, ready to be imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skmatgnn.metrics._scorers import get_scorer

if TYPE_CHECKING:
    from collections.abc import Callable

_DOC = """{summary}

Give it as ``scoring=``. ``get_scorer({name!r})`` makes one of your own, for arguments
of the metric and for ``set_score_request``.

Parameters
----------
estimator : fitted estimator
    Model to score.
X : sequence
    Samples that it predicts.
y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
    Their targets; NaN means "not known".
sample_weight : array-like of shape (n_samples,), default=None
    Non-negative weight of each sample.
**kwargs : dict
    Further arguments, with scikit-learn's metadata routing only.

Returns
-------
float
    Greater is better.
"""


def _ready(name: str, summary: str) -> Callable[..., float]:
    scorer = get_scorer(name)
    # The class is scikit-learn's and tells nothing about the metric.
    scorer.__doc__ = _DOC.format(summary=summary, name=name)
    return scorer


masked_r2 = _ready("masked_r2", "Coefficient of determination of the known targets.")
neg_masked_mae = _ready(
    "neg_masked_mae", "Negative mean absolute error of the known targets."
)
neg_smae = _ready(
    "neg_smae",
    "Negative scaled mean absolute error: 0 is perfect, -1 is a mean predictor's.",
)
