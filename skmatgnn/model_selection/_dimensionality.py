"""Groups of structures by the dimensionality of what is bonded in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import Parallel, delayed

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.model_selection._composition_groups import as_structure
from skmatgnn.utils.validation import describe, ensure_object_array
from skmatgnn.utils.warning_filters import without_warnings

__all__ = ["dimensionality_groups"]


def dimensionality_groups(
    X: Any,
    *,
    neighbors: Any = None,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> np.ndarray:
    """Group structures by dimensionality: molecules, chains, layers, frameworks.

    Parameters
    ----------
    X : sequence of Structure or ase.Atoms
        The structures.
    neighbors : pymatgen NearNeighbors, default=None
        What says which atoms are bonded. None is ``CrystalNN``, as pymatgen advises;
        it calls low-dimensional only what van der Waals forces hold together.
    n_jobs : int or None, default=None
        Processes (joblib). A structure takes about a tenth of a second.
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    ndarray of shape (n_samples,), dtype str
        "0D", "1D", "2D" or "3D": the highest dimensionality of the bonded components.

    Raises
    ------
    InvalidTypeError
        If a sample is no structure, with the index, or ``neighbors`` finds no bonds.
    InvalidValueError
        If the bonds of a structure cannot be found, with the index.

    See Also
    --------
    HoldOutGroups : Trains on "3D" alone and tests on the others.

    References
    ----------
    .. [1] P. M. Larsen, M. Pandey, M. Strange, K. W. Jacobsen, "Definition of a
       scoring parameter to identify low-dimensional materials components", Phys. Rev.
       Materials 3, 034003 (2019).

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from skmatgnn.model_selection import dimensionality_groups
    >>> graphite = Structure.from_spacegroup(
    ...     "P6_3/mmc", Lattice.hexagonal(2.46, 6.71), ["C", "C"],
    ...     [[0, 0, 1 / 4], [1 / 3, 2 / 3, 1 / 4]],
    ... )
    >>> salt = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    ... )
    >>> dimensionality_groups([graphite, salt]).tolist()
    ['2D', '3D']
    """
    from pymatgen.analysis.local_env import CrystalNN
    from pymatgen.core import Structure
    from tqdm.auto import tqdm

    if neighbors is None:
        neighbors = CrystalNN()
    elif not hasattr(neighbors, "get_bonded_structure"):
        raise InvalidTypeError(
            "neighbors must be one of pymatgen.analysis.local_env, such as CrystalNN() "
            f"or JmolNN(); got {describe(neighbors)}."
        )
    items = ensure_object_array(X, what="structures", single=(Structure, str))
    structures = [as_structure(item, index) for index, item in enumerate(items)]
    found = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_dimensionality)(structure, index, neighbors)
        for index, structure in enumerate(structures)
    )
    bar = tqdm(found, total=len(items), desc="structures", disable=not verbose)
    return np.array([f"{number}D" for number in bar])


def _dimensionality(structure: Any, index: int, neighbors: Any) -> int:
    from pymatgen.analysis.dimensionality import get_dimensionality_larsen

    try:
        # that there are no oxidation states, and tables that lack an element
        with without_warnings(UserWarning):
            bonded = neighbors.get_bonded_structure(structure)
            return int(get_dimensionality_larsen(bonded))
    except Exception as error:
        # pymatgen raises whatever its geometry runs into
        cause = " ".join(str(error).split())[:200]
        raise InvalidValueError(
            f"The bonds of the structure at index {index} could not be found "
            f"({type(error).__name__}: {cause}). Check it for overlapping atoms and "
            "partial occupancies, or give other neighbors=."
        ) from error
