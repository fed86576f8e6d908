"""Errors out of distribution, beside how far from the training set they are made."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.metrics import element_movers_distances_chunked
from skmatgnn.model_selection._leave_one_cluster_out import LeaveOneClusterOut
from skmatgnn.preprocessing._formula import parse_compositions
from skmatgnn.utils._sklearn import num_samples, safe_indexing
from skmatgnn.utils.elements import ELEMENT_SYMBOLS
from skmatgnn.utils.interrupts import fit_or_stop
from skmatgnn.utils.lost_workers import explain_lost_workers
from skmatgnn.utils.targets import ensure_regression_targets
from skmatgnn.utils.validation import (
    describe,
    require_consistent_length,
    require_count,
    to_object_array,
)

if TYPE_CHECKING:
    import pandas as pd

    from skmatgnn._typing import ArrayLike, FloatArray, IntArray

__all__ = ["extrapolation_report"]


@explain_lost_workers()
def extrapolation_report(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    cv: Any = None,
    latent: Any = "auto",
    compositions: Any = None,
    n_neighbors: int = 1,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> pd.DataFrame:
    """Cross-validate, and tell how far each sample is from what was trained on.

    The folds say what kind of extrapolation is asked for: clusters of materials that
    are left out (the default), chemical systems
    (``groups=chemical_system_groups(X), cv=GroupKFold(5)``), or low-dimensional
    structures (``groups=dimensionality_groups(X), cv=HoldOutGroups(["0D", "1D",
    "2D"])``). Random folds (``cv=KFold(5, shuffle=True)``) are what to compare with.

    Parameters
    ----------
    estimator : regressor
        Cloned and fitted on each training set.
    X : sequence of n samples
        What it takes: structures, graphs, formulas.
    y : array-like of shape (n,)
        The property.
    groups : array-like of shape (n,), default=None
        For the splitter.
    cv : int, splitter or iterable, default=None
        As for ``cross_validate``; None is ``LeaveOneClusterOut()``, which leaves the
        ``groups`` out if they are given.
    latent : "auto", transformer or None, default="auto"
        Space of the latent distance. "auto" is what the last layer of the fitted
        estimator reads (its ``embed``), or, of an estimator without one, standardised
        Magpie features. A transformer, such as ``GraphEmbedding``, is cloned and
        fitted on each training set; in ``FrozenEstimator`` it is taken as it is. None
        leaves this distance out.
    compositions : sequence of str, Composition, Structure or dict, default=None
        For the element mover's distance, where they cannot be read from ``X``.
    n_neighbors : int, default=1
        Distances are the mean over so many nearest training samples.
    n_jobs : int or None, default=None
        Folds that are fitted side by side (joblib).
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    DataFrame
        A row for each sample of each test set: its ``sample`` (position in X), the
        ``fold``, its ``group`` (None without groups), ``y_true``, ``y_pred``, the
        absolute ``error``, ``latent_distance`` and ``elmd_distance``. The latent
        distance is in units of the median distance of a training sample to its own
        nearest neighbours, so that folds can be compared: about one is within the
        training set.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If the samples have no compositions, ``y`` is not known everywhere, or an
        argument cannot be used.

    See Also
    --------
    skmatgnn.inspection.ExtrapolationDisplay : Shows the error by distance.

    Notes
    -----
    Structures are made into graphs anew in each fold; give a ``GraphArray`` of
    ``StructureToGraph`` to do that once.

    References
    ----------
    .. [1] J. P. Janet, C. Duan, T. Yang, A. Nandy, H. J. Kulik, "A quantitative
       uncertainty metric controls error in neural network-driven chemical discovery",
       Chem. Sci. 10, 7913 (2019). Distances in the latent space.
    .. [2] C. J. Hargreaves, M. S. Dyer, M. W. Gaultois, V. A. Kurlin,
       M. J. Rosseinsky, "The Earth Mover's Distance as a Metric for the Space of
       Inorganic Compositions", Chem. Mater. 32, 10610 (2020).

    Examples
    --------
    >>> from skmatgnn import make_rf_magpie
    >>> from skmatgnn.model_selection import (
    ...     chemical_system_groups, extrapolation_report
    ... )
    >>> X, y = ["NaCl", "NaBr", "KCl", "KBr", "Na3Cl"], [8.5, 7.5, 8.4, 7.4, 0.0]
    >>> report = extrapolation_report(
    ...     make_rf_magpie(n_estimators=5), X, y, groups=chemical_system_groups(X)
    ... )
    >>> report["sample"].tolist(), report["elmd_distance"].round(2).tolist()
    ([3, 1, 2, 0, 4], [0.5, 0.5, 0.5, 0.5, 22.5])
    """
    import pandas as pd

    targets = ensure_regression_targets(y)[0]
    if targets.shape[1] != 1:
        raise InvalidValueError(
            f"y must have one property; got {targets.shape[1]}. Report on each alone."
        )
    y = targets[:, 0]
    require_consistent_length(y=y, X=range(num_samples(X)), groups=groups)
    _require_latent(latent)
    require_count("n_neighbors", n_neighbors)
    materials = _compositions(X, compositions, len(y))
    cv = LeaveOneClusterOut() if cv is None else check_cv(cv, y, classifier=False)
    splits = [tuple(map(np.asarray, split)) for split in cv.split(X, y, groups)]
    jobs = (
        delayed(_fold)(estimator, X, y, materials, train, test, latent, n_neighbors)
        for train, test in splits
    )
    done = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    parts = []
    labels = None if groups is None else np.asarray(groups, dtype=object)
    for number, (columns, (_, test)) in enumerate(
        zip(_progress(done, len(splits), verbose=verbose), splits, strict=True)
    ):
        group = [None if labels is None else labels[row] for row in test]
        start = {"sample": test, "fold": number, "group": to_object_array(group)}
        parts.append(pd.DataFrame({**start, **columns}))
    return pd.concat(parts, ignore_index=True)


def _progress(items: Any, total: int, *, verbose: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(items, total=total, desc="folds", disable=not verbose)


def _fold(
    estimator: Any,
    X: Any,
    y: FloatArray,
    materials: Any,
    train: IntArray,
    test: IntArray,
    latent: Any,
    n_neighbors: int,
) -> dict[str, FloatArray]:
    """Fit one model; give its errors and the distances of what it is tested on."""
    if len(train) < n_neighbors + 1:
        raise InvalidValueError(
            f"n_neighbors={n_neighbors} needs at least {n_neighbors + 1} samples to "
            f"train on; a fold has {len(train)}."
        )
    fitted = clone(estimator)
    known, new = safe_indexing(X, train), safe_indexing(X, test)
    fit_or_stop(fitted, known, y[train])
    predicted = np.asarray(fitted.predict(new), dtype=np.float64).reshape(len(test), -1)
    if predicted.shape[1] != 1:
        raise InvalidValueError(
            f"{type(estimator).__name__} predicts {predicted.shape[1]} properties; one "
            "is needed."
        )
    columns = {
        "y_true": y[test],
        "y_pred": predicted[:, 0],
        "error": np.abs(predicted[:, 0] - y[test]),
    }
    rows = {"train": materials[train], "test": materials[test]}
    if latent is not None:
        points = _features(fitted, latent, (known, new), rows, y[train])
        columns["latent_distance"] = _latent_distances(*points, n_neighbors)
    columns["elmd_distance"] = _elmd_distances(rows, n_neighbors)
    return columns


def _features(
    fitted: Any, latent: Any, X: tuple[Any, Any], rows: dict[str, Any], y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Place training and test samples in the space of the latent distance."""
    if not isinstance(latent, str):
        transformer = latent
        if not isinstance(latent, FrozenEstimator):
            transformer = clone(latent).fit(X[0], y)
        made = [transformer.transform(part) for part in X]
    else:
        embed = _embedding_of(fitted)
        made = [embed(part) for part in X] if embed else _magpie_features(rows)
    train, test = (np.asarray(part, dtype=np.float64) for part in made)
    return train, test


def _embedding_of(fitted: Any) -> Any:
    if isinstance(fitted, Pipeline):
        inner = _embedding_of(fitted[-1])
        if inner is None or len(fitted) == 1:
            return inner
        before = fitted[:-1]
        return lambda X: inner(before.transform(X))
    return getattr(fitted, "embed", None)


def _magpie_features(rows: dict[str, Any]) -> list[FloatArray]:
    from skmatgnn.featurizers import MagpieFeatures

    features = make_pipeline(MagpieFeatures(), StandardScaler()).fit(rows["train"])
    # a feature that an element lacks tells nothing of the distance
    return [np.nan_to_num(features.transform(part)) for part in rows.values()]


def _latent_distances(
    train: FloatArray, test: FloatArray, n_neighbors: int
) -> FloatArray:
    neighbors = NearestNeighbors(n_neighbors=n_neighbors).fit(train)
    among = neighbors.kneighbors()[0].mean(axis=1)  # itself left out
    apart = among[among > 0]
    unit = np.median(apart) if len(apart) else 1.0
    return neighbors.kneighbors(test)[0].mean(axis=1) / unit


def _elmd_distances(rows: dict[str, Any], n_neighbors: int) -> FloatArray:
    distances = np.empty(len(rows["test"]))
    for part, block in element_movers_distances_chunked(rows["test"], rows["train"]):
        nearest = np.partition(block, n_neighbors - 1, axis=1)[:, :n_neighbors]
        distances[part] = nearest.mean(axis=1)
    return distances


def _compositions(X: Any, compositions: Any, n_samples: int) -> np.ndarray:
    """Amounts by element of each sample, as an object array of dicts."""
    if compositions is None:
        compositions = _atoms_of(X)
    try:
        packed = parse_compositions(X if compositions is None else compositions)
    except (InvalidTypeError, InvalidValueError) as error:
        where = "X" if compositions is None else "compositions"
        raise type(error)(
            f"The compositions cannot be read from {where}: {error} Give the formulas "
            "of the samples as compositions=."
        ) from error
    require_consistent_length(X=range(n_samples), compositions=packed)
    return to_object_array([packed.as_dict(row) for row in range(len(packed))])


def _atoms_of(X: Any) -> list[dict[str, int]] | None:
    """Count the atoms of packed graphs or structures."""
    pointers = getattr(X, "node_ptr", getattr(X, "atom_ptr", None))
    if pointers is None:
        return None
    found = []
    for start, stop in pairwise(pointers.tolist()):
        numbers, counts = np.unique(X.atomic_numbers[start:stop], return_counts=True)
        symbols = [ELEMENT_SYMBOLS[number] for number in numbers.tolist()]
        found.append(dict(zip(symbols, counts.tolist(), strict=True)))
    return found


def _require_latent(latent: Any) -> None:
    named = isinstance(latent, str) and latent == "auto"
    if not (latent is None or named or hasattr(latent, "transform")):
        raise InvalidTypeError(
            "latent must be 'auto', a transformer such as GraphEmbedding, or None; got "
            f"{describe(latent)}."
        )
