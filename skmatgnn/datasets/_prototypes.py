"""Prototype crystals of the AFLOW library, with targets from their geometry."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.datasets._base import (
    bunch_of_frame,
    find_resource,
    object_series,
    require_number,
)
from skmatgnn.datasets._descriptions import PROTOTYPES
from skmatgnn.errors import InvalidValueError
from skmatgnn.utils.validation import require_option
from skmatgnn.utils.warning_filters import without_warnings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from pymatgen.core import Structure

    from skmatgnn._typing import Dataset

__all__ = ["load_prototypes"]

TARGET_UNITS = {
    "volume_per_atom": "A^3",
    "packing_fraction": "",
    "crystal_system": "",
}
_FILES = (
    "analysis/prototypes/aflow_prototypes.json.gz",
    "analysis/aflow_prototypes.json.gz",
    "analysis/aflow_prototypes.json",
)
_MIN_DISTANCE = 0.1
_SYMMETRY_TOLERANCE = 0.01


def load_prototypes(
    *,
    target: str | Sequence[str] = "volume_per_atom",
    max_atoms: int | None = None,
    as_frame: bool = False,
    return_X_y: bool = False,
) -> Dataset:
    """Load 288 real crystal structures with targets that their geometry defines.

    The first part of the AFLOW Library of Crystallographic Prototypes [1]_, from
    pymatgen's files; no network is used. All targets are exact functions of the
    structure, so a model's error is the model's own.

    ==================  =====================================================
    Tasks               regression (two targets), classification (7 classes)
    Samples             288, all ordered, no atoms closer than 0.1 A
    Input               pymatgen ``Structure``, 1 to 105 atoms a cell
    Targets             volume per atom (A^3), packing fraction, crystal system
    Unknown values      none
    Groups              chemical system
    Source              pymatgen, ``aflow_prototypes.json``
    Terms               MIT (pymatgen)
    Recommended split   ``GroupKFold`` by ``groups``
    Recommended metric  MAE; balanced accuracy for the crystal system
    ==================  =====================================================

    Parameters
    ----------
    target : {"volume_per_atom", "packing_fraction", "crystal_system"}, \
or list of the first two, default="volume_per_atom"
        What is to be learnt. A list, of one name too, gives a 2-D ``target`` with its
        columns in that order.
    max_atoms : int, default=None
        Leave out crystals with more atoms a cell than this; None keeps all.
    as_frame : bool, default=False
        Return pandas objects, and the whole table, with all three targets whatever
        ``target`` is, in ``frame``.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    Bunch
        ``data`` (object array of ``Structure``), ``target`` ((288,) or (288, t)
        float64, or object array of class names), ``target_names``, ``units``,
        ``groups``, ``prototypes`` (AFLOW labels), ``feature_names``, ``frame`` (None
        unless ``as_frame``), ``DESCR``. With ``return_X_y``, the tuple
        ``(data, target)``. The structures are the caller's own copies.

    Raises
    ------
    InvalidValueError
        If ``target`` is none of the three, or is a list that is empty, repeats a name
        or holds "crystal_system"; if ``max_atoms`` is less than one.
    InvalidTypeError
        If ``max_atoms`` is no integer.

    Notes
    -----
    The packing fraction is that of equal spheres whose diameter is the shortest
    interatomic distance d of the crystal, ``n pi d^3 / (6 V)``: 0.7405 for fcc, 0.6802
    for bcc, 0.3401 for diamond. The crystal system is that of the space group which
    spglib finds at 0.01 A; for three entries it is not the one of the AFLOW label.

    References
    ----------
    .. [1] Mehl, M. J. et al. The AFLOW Library of Crystallographic Prototypes: Part 1.
       Computational Materials Science 136, S1-S828 (2017).
       doi:10.1016/j.commatsci.2017.01.017

    Examples
    --------
    >>> from skmatgnn.datasets import load_prototypes
    >>> prototypes = load_prototypes(target="packing_fraction")
    >>> index = list(prototypes.prototypes).index("A_cF4_225_a")
    >>> prototypes.data[index].formula, round(float(prototypes.target[index]), 4)
    ('Cu1', 0.7405)
    >>> both = ["volume_per_atom", "packing_fraction"]
    >>> load_prototypes(target=both, max_atoms=12).target.shape
    (212, 2)
    """
    names = _ensure_targets(target)
    table, total = _prototype_table()
    descr = PROTOTYPES.format(kept=len(table), total=total)
    frame = table
    if max_atoms is not None:
        require_number(max_atoms, name="max_atoms", low=1, integer=True)
        small = [len(structure) <= max_atoms for structure in table["structure"]]
        frame = table[small].reset_index(drop=True)
        descr += (
            f"\nHere only the {len(frame)} with at most {max_atoms} atoms a cell.\n"
        )
    frame = frame.assign(
        structure=object_series([s.copy() for s in frame["structure"]], "structure")
    )
    bunch = bunch_of_frame(
        frame,
        data_column="structure",
        target_columns=names,
        groups=[s.composition.chemical_system for s in frame["structure"]],
        descr=descr,
        as_frame=as_frame,
        return_X_y=False,
        units=TARGET_UNITS,
        prototypes=frame["prototype"].to_numpy(),
    )
    if not isinstance(target, str):
        columns = frame[names]
        bunch.target = columns if as_frame else columns.to_numpy()
    return (bunch.data, bunch.target) if return_X_y else bunch


def _ensure_targets(target: Any) -> list[str]:
    """Return the names of the targets, or say why they cannot be had."""
    if not isinstance(target, list | tuple):
        require_option("target", target, TARGET_UNITS)
        return [target]
    names = list(target)
    for name in names:
        require_option("each of target", name, TARGET_UNITS)
    if not names or len(set(names)) < len(names):
        raise InvalidValueError(
            f"target must name at least one property, and each once; got {names}."
        )
    if "crystal_system" in names:
        raise InvalidValueError(
            "A list of targets gives numbers, and crystal_system is a class name; take "
            "it alone: target='crystal_system'."
        )
    return names


@lru_cache(maxsize=1)
def _prototype_table() -> tuple[pd.DataFrame, int]:
    """Return the table of the usable entries and the number of all entries."""
    import pandas as pd
    from pymatgen.core import Structure

    entries = _read_json(find_resource("pymatgen", _FILES))
    rows = []
    for entry in entries:
        structure = Structure.from_dict(entry["snl"])
        shortest = _shortest_distance(structure)
        if structure.is_ordered and shortest >= _MIN_DISTANCE:
            rows.append(_row(structure, shortest, entry["tags"]))
    frame = pd.DataFrame([row for _, row in rows])
    frame.insert(0, "structure", object_series([s for s, _ in rows], "structure"))
    return frame, len(entries)


def _read_json(path: Path) -> list[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return json.load(file)


def _row(
    structure: Structure, shortest: float, tags: dict[str, str]
) -> tuple[Structure, dict[str, Any]]:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    # Some versions of spglib announce a coming change at every call.
    with without_warnings(DeprecationWarning):
        symmetry = SpacegroupAnalyzer(structure, symprec=_SYMMETRY_TOLERANCE)
        system, number = (
            symmetry.get_crystal_system(),
            symmetry.get_space_group_number(),
        )
    volume = structure.volume / len(structure)
    return structure, {
        "formula": structure.composition.reduced_formula,
        "prototype": tags["aflow"],
        "pearson_symbol": tags["pearson"],
        "strukturbericht": _known(tags["strukturbericht"]),
        "mineral": _known(tags["mineral"]),
        "space_group_number": int(number),
        "volume_per_atom": volume,
        "packing_fraction": float(np.pi / 6.0 * shortest**3 / volume),
        "crystal_system": str(system),
    }


def _known(tag: str) -> str | None:
    """Return the tag, or None for the file's two ways to say that there is none."""
    return None if tag in ("", "None") else tag


def _shortest_distance(structure: Structure) -> float:
    """Shortest interatomic distance in A, periodic images of an atom included."""
    # No packing of points is denser than fcc, so d^3 <= sqrt(2) V / n.
    limit = (np.sqrt(2.0) * structure.volume / len(structure)) ** (1.0 / 3.0)
    distances = structure.get_neighbor_list(1.001 * limit)[3]
    return float(distances.min())
