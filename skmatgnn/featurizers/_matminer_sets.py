"""Feature sets that run matminer's own code, once for each distinct composition."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.featurizers._matminer import MatminerFeatures
from skmatgnn.utils.elements import ATOMIC_NUMBERS
from skmatgnn.utils.warning_filters import without_warnings

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, IntArray
    from skmatgnn.preprocessing._formula import PackedCompositions

__all__ = ["SLOW_SETS", "distinct_compositions", "slow_features"]

SLOW_SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "atomic_orbitals": (
        "AtomicOrbitals",
        (
            *("HOMO_character", "HOMO_element", "HOMO_energy"),
            *("LUMO_character", "LUMO_element", "LUMO_energy", "gap_AO"),
        ),
    ),
    "yang_solid_solution": ("YangSolidSolution", ("Yang omega", "Yang delta")),
    "miedema": (
        "Miedema",
        ("Miedema_deltaH_inter", "Miedema_deltaH_amor", "Miedema_deltaH_ss_min"),
    ),
    "atomic_packing_efficiency": (
        "AtomicPackingEfficiency",
        (
            "mean simul. packing efficiency",
            "mean abs simul. packing efficiency",
            *(f"dist from {n} clusters |APE| < 0.010" for n in (1, 3, 5)),
        ),
    ),
}
"""Class in matminer and labels of each set."""

_TAKES_IMPUTE_NAN = {"yang_solid_solution", "miedema", "atomic_packing_efficiency"}
_NUMBER_OF_TEXT = {"s": 1, "p": 2, "d": 3, "f": 4, **ATOMIC_NUMBERS}


def slow_features(
    name: str, packed: PackedCompositions, *, impute_nan: bool, n_jobs: int | None
) -> FloatArray:
    """Run one of matminer's featurizers.

    Parameters
    ----------
    name : str
        A key of `SLOW_SETS`.
    packed : PackedCompositions
    impute_nan : bool
        Passed on where the featurizer has it.
    n_jobs : int or None
        Processes, as in joblib.

    Returns
    -------
    ndarray of shape (n, k)
        Orbital characters s, p, d, f are 1 to 4 and elements their atomic numbers.

    Warns
    -----
    UserWarning
        If the featurizer fails on a composition; it gets NaN.
    """
    from matminer.featurizers import composition

    class_name, labels = SLOW_SETS[name]
    options = {"impute_nan": impute_nan} if name in _TAKES_IMPUTE_NAN else {}
    first, inverse = distinct_compositions(packed)
    # Single elements have no pairs to average over: that gives the NaN wanted. What
    # matminer does with pandas is not for our users to act on.
    with without_warnings(RuntimeWarning), without_warnings(FutureWarning):
        featurizer = getattr(composition, class_name)(**options)
        wrapped = MatminerFeatures(featurizer, n_jobs=n_jobs, on_error="nan")
        table = wrapped.fit_transform([packed.as_dict(index) for index in first])
    numbers = [[_as_number(value) for value in row] for row in table]
    return np.asarray(numbers, dtype=np.float64).reshape(-1, len(labels))[inverse]


def distinct_compositions(packed: PackedCompositions) -> tuple[list[int], IntArray]:
    """Find the rows that differ in more than a common factor.

    Parameters
    ----------
    packed : PackedCompositions

    Returns
    -------
    first : list of int
        Row in which each distinct composition is seen first.
    inverse : ndarray of shape (n,)
        Which distinct composition each row is.
    """
    seen: dict[tuple[bytes, bytes], int] = {}
    first: list[int] = []
    inverse = np.empty(len(packed), dtype=np.int64)
    pointers = packed.row_ptr.tolist()
    fractions = packed.fractions.round(10)
    for row, (start, stop) in enumerate(pairwise(pointers)):
        numbers = packed.atomic_numbers[start:stop].tobytes()
        code = seen.setdefault((numbers, fractions[start:stop].tobytes()), len(first))
        if code == len(first):
            first.append(row)
        inverse[row] = code
    return first, inverse


def _as_number(value: Any) -> float:
    return _NUMBER_OF_TEXT[value] if isinstance(value, str) else float(value)
