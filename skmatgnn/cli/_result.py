"""What a benchmark found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    import numpy as np

    from skmatgnn._typing import FloatArray, IntArray
    from skmatgnn.cli._notes import Notes
    from skmatgnn.cli._samples import Samples
    from skmatgnn.cli._schemes import Clusters

__all__ = ["Evaluation", "Result"]


@dataclass(frozen=True)
class Evaluation:
    """One model under one scheme on one target.

    Parameters
    ----------
    target, scheme, model : str
        What was evaluated.
    joint : bool
        Whether the model learnt the other targets together with this one.
    rows : ndarray of shape (n_tested,), int
        Rows that were tested, ascending; under "bootstrap" some repeatedly.
    y_pred : ndarray of shape (n_tested,)
        Prediction for each of them, by a model that had not seen the row.
    fold_of : ndarray of shape (n_tested,) of str
        Label of the fold that tested it.
    scores : dict of str to float
        Of the pooled predictions.
    intervals : dict of str to [low, high]
        Their 95 % bootstrap intervals.
    two_sigma : dict or None
        The same "scores" and "intervals" over the rows whose target is within two
        standard deviations of the mean of those trained on; None if there are none.
    folds : list of dict
        Sizes, scores and seconds of each fold.
    fit_seconds, predict_seconds : float
        Summed over the folds.
    """

    target: str
    scheme: str
    model: str
    joint: bool
    rows: IntArray
    y_pred: FloatArray
    fold_of: np.ndarray
    scores: dict[str, float]
    intervals: dict[str, list[float]]
    two_sigma: dict[str, Any] | None
    folds: list[dict[str, Any]]
    fit_seconds: float
    predict_seconds: float


@dataclass
class Result:
    """Everything that a benchmark found.

    Parameters
    ----------
    samples : Samples
        The data.
    options : Namespace
        The arguments.
    models : list of str
        Models, as trained.
    notes : Notes
        Remarks that were made.
    clusters : Clusters or None
        Of the loco scheme.
    evaluations : list of Evaluation
        In the order of the table.
    prepare_seconds : dict of str to float
        Seconds for graphs, by model.
    seconds : float
        Of the whole run.
    """

    samples: Samples
    options: argparse.Namespace
    models: list[str]
    notes: Notes
    clusters: Clusters | None = None
    evaluations: list[Evaluation] = field(default_factory=list)
    prepare_seconds: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
