"""Structures out of CIF and POSCAR texts, of ALIGNN's and of pymatgen's JSON."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidValueError
from skmatgnn.utils.validation import describe
from skmatgnn.utils.warning_filters import recorded_warnings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymatgen.core import Structure

__all__ = [
    "find_structure_file",
    "is_structure_file",
    "list_structure_files",
    "parse_structure_cell",
    "parse_structure_file",
    "structure_of_arrays",
    "structure_of_atoms",
]

_SUFFIXES = (".cif", ".vasp", ".poscar", ".POSCAR")
_LISTED_SUFFIXES = (".cif", ".vasp", ".poscar")
_LISTED_NAMES = ("poscar", "contcar")
_CIF_CELL = re.compile(r"^\s*_cell[_.]length_a\b", re.MULTILINE | re.IGNORECASE)
# pymatgen's remarks on files that are in order. All other remarks reach the user.
_HARMLESS = re.compile(
    r"fractional coordinates rounded to ideal values|No Pauling electronegativity"
    r"|default value of primitive|was split into lattice constants"
    r"|Skipping relative stoichiometry check"
)


def find_structure_file(folder: Path, name: str) -> Path | None:
    """Find the structure file that an identifier means.

    Parameters
    ----------
    folder : Path
        Where the files are.
    name : str
        Name of the file, or an identifier: the name without its suffix, or without
        ``POSCAR-`` and ``.vasp``.

    Returns
    -------
    Path or None
        None if there is no such file in the folder.
    """
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    candidates = (name, *(name + s for s in _SUFFIXES), f"POSCAR-{name}.vasp")
    for candidate in candidates:
        # os.path.isfile, unlike Path.is_file, survives null bytes and overlong names.
        path = os.path.join(folder, candidate)  # noqa: PTH118
        if os.path.isfile(path):  # noqa: PTH113
            return Path(path)
    return None


def is_structure_file(path: Path) -> bool:
    """Tell whether a file's name is that of a structure file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool
    """
    name = path.name.lower()
    wanted = name.endswith(_LISTED_SUFFIXES) or name.startswith(_LISTED_NAMES)
    return wanted and path.is_file()


def list_structure_files(path: Path) -> list[Path]:
    """List the structure files of a folder.

    Parameters
    ----------
    path : Path
        The folder, or one structure file.

    Returns
    -------
    list of Path
        In the order of their names.

    Raises
    ------
    InvalidValueError
        If there are none.
    """
    found = (
        [path] if path.is_file() else sorted(filter(is_structure_file, path.iterdir()))
    )
    if not found:
        raise InvalidValueError(
            f"{path} holds no structure files; looked for "
            f"*{', *'.join(_LISTED_SUFFIXES)}, POSCAR*, CONTCAR*."
        )
    return found


def parse_structure_file(path: Path) -> tuple[Structure | None, list[str]]:
    """Read one structure; never raises for a bad file.

    Parameters
    ----------
    path : Path
        CIF, or POSCAR with element symbols; told apart by suffix, then by content.

    Returns
    -------
    structure : Structure or None
        None if the file is unusable.
    remarks : list of str
        The cause where the structure is None, else what pymatgen had to correct.
    """
    return _recorded(lambda: _parse(path))


def parse_structure_cell(cell: Any, folder: Path) -> tuple[Structure | None, list[str]]:
    """Read the structure in a cell of a table; never raises for a bad one.

    Parameters
    ----------
    cell : object
        The text of a CIF or POSCAR file, the name of such a file, or, as a dict or
        its JSON, the structure as pymatgen or as ALIGNN writes it.
    folder : Path
        Where files are looked for.

    Returns
    -------
    structure : Structure or None
        None if the cell is unusable.
    remarks : list of str
        As from `parse_structure_file`.
    """
    return _recorded(lambda: _parse_cell(cell, folder))


def _recorded(read: Callable[[], Structure]) -> tuple[Structure | None, list[str]]:
    with recorded_warnings() as caught:
        try:
            structure = read()
        except Exception as error:  # noqa: BLE001
            # pymatgen's parsers raise whatever their arithmetic runs into.
            return None, [_cause(error)]
    remarks = [
        " ".join(str(warning.message).split())
        for warning in caught
        if not issubclass(warning.category, DeprecationWarning | FutureWarning)
    ]
    remarks = [text for text in dict.fromkeys(remarks) if not _HARMLESS.search(text)]
    return structure, remarks


def _cause(error: Exception) -> str:
    text = " ".join(str(error).split())
    if len(text) > 200:
        text = text[:197] + "..."
    if isinstance(error, InvalidValueError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _parse(path: Path) -> Structure:
    text = path.read_bytes().decode("utf-8", errors="replace")
    if not text.strip():
        raise InvalidValueError("the file is empty")
    return _parse_text(text, is_cif=path.suffix.lower() == ".cif")


def _parse_cell(cell: Any, folder: Path) -> Structure:
    if isinstance(cell, str) and cell.lstrip().startswith("{"):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise InvalidValueError(f"it is no valid JSON ({error})") from error
    if isinstance(cell, dict):
        is_pymatgen = "lattice" in cell or "sites" in cell
        return _structure_of_sites(cell) if is_pymatgen else structure_of_atoms(cell)
    if not isinstance(cell, str) or not cell.strip():
        raise InvalidValueError(
            "expected the text or the name of a CIF or POSCAR file, or a JSON object; "
            f"got {describe(cell)}"
        )
    if "\n" in cell.strip():
        return _parse_text(cell, is_cif=False)
    path = find_structure_file(folder, cell.strip())
    if path is None:
        raise InvalidValueError(
            f"there is no structure file {cell.strip()!r:.60} (with or without .cif, "
            f".vasp, .poscar) in {folder}"
        )
    return _parse(path)


def _parse_text(text: str, *, is_cif: bool) -> Structure:
    is_cif = is_cif or _CIF_CELL.search(text) is not None
    kind, parse = ("CIF", _parse_cif) if is_cif else ("POSCAR", _parse_poscar)
    try:
        structure = parse(text)
    except (IndexError, KeyError, AssertionError) as error:
        # Their texts alone do not say that the file is at fault.
        raise InvalidValueError(
            f"it is incomplete, or no {kind} ({_cause(error)})"
        ) from error
    return _checked(structure)


def _parse_cif(text: str) -> Structure:
    from pymatgen.io.cif import CifParser

    structures = CifParser.from_str(text).parse_structures(
        primitive=False, on_error="raise"
    )
    if not structures:
        raise InvalidValueError("the file holds no structure")
    if len(structures) > 1:
        raise InvalidValueError(
            f"the file holds {len(structures)} structures; one was expected"
        )
    return structures[0]


def _parse_poscar(text: str) -> Structure:
    from pymatgen.io.vasp.inputs import Poscar

    _require_lines_for_atoms(text.splitlines())
    with recorded_warnings() as found:
        structure = Poscar.from_str(text).structure
    for warning in found:
        # pymatgen invents elements for a POSCAR that does not name them
        if str(warning.message).startswith("Elements in POSCAR cannot be"):
            raise InvalidValueError(str(warning.message))
        warnings.warn(warning.message, warning.category, stacklevel=2)
    return structure


def _require_lines_for_atoms(lines: list[str]) -> None:
    """Refuse numbers of atoms that pymatgen would take memory for, however large."""
    total = 0
    for line in lines[5:]:
        try:
            total += sum(abs(int(number)) for number in line.split())
        except ValueError:  # symbols before them, or the kind of coordinates after
            if total:
                break
    if total > len(lines):
        raise InvalidValueError(
            f"it announces {total} atoms, but has {len(lines)} lines"
        )


def _checked(structure: Structure) -> Structure:
    from pymatgen.core import DummySpecies

    if len(structure) == 0:
        raise InvalidValueError("the structure has no atoms")
    for site in structure:
        for species in site.species:
            if isinstance(species, DummySpecies):
                raise InvalidValueError(f"{species.symbol!r} is no element")
    matrix = structure.lattice.matrix
    if not (np.isfinite(matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise InvalidValueError("the cell or the coordinates are not finite")
    if structure.volume < 1e-3:
        raise InvalidValueError(
            f"the cell has the volume {structure.volume:.3g} A^3; it must be positive"
        )
    return structure


def structure_of_atoms(atoms: Any) -> Structure:
    """Convert ALIGNN's dictionary of a structure.

    Parameters
    ----------
    atoms : dict
        ``lattice_mat`` (3x3, A), ``coords`` (n x 3), ``elements`` (n symbols), and
        ``cartesian`` (bool, False if absent).

    Returns
    -------
    Structure

    Raises
    ------
    InvalidValueError
        If it is not such a dictionary.
    """
    if not isinstance(atoms, dict):
        raise InvalidValueError("atoms must be a JSON object")
    missing = [k for k in ("lattice_mat", "coords", "elements") if k not in atoms]
    if missing:
        raise InvalidValueError(f"atoms lacks {', '.join(missing)}")
    return structure_of_arrays(
        {f"atoms.{k}": atoms[k] for k in ("lattice_mat", "elements", "coords")},
        cartesian=_ensure_bool(atoms.get("cartesian", False)),
    )


def structure_of_arrays(arrays: dict[str, Any], *, cartesian: bool) -> Structure:
    """Make a structure of a cell, element symbols and coordinates.

    Parameters
    ----------
    arrays : dict of str to object
        Exactly these three, in this order, by the names that errors give them.
    cartesian : bool
        Whether the coordinates are in Angstrom rather than fractional.

    Returns
    -------
    Structure

    Raises
    ------
    InvalidValueError
        If they do not describe a structure.
    """
    from pymatgen.core import Element, Structure

    (cell, matrix), (kinds, elements), (places, coords) = arrays.items()
    if not isinstance(elements, list) or not elements:
        raise InvalidValueError(f"{kinds} must be a list of symbols")
    for symbol in elements:
        if not isinstance(symbol, str) or not Element.is_valid_symbol(symbol.strip()):
            raise InvalidValueError(f"{symbol!r:.40} is no element symbol")
    return _checked(
        Structure(
            _ensure_cell(matrix, cell),
            [symbol.strip() for symbol in elements],
            _ensure_floats(coords, (len(elements), 3), places),
            coords_are_cartesian=cartesian,
        )
    )


def _structure_of_sites(content: dict[str, Any]) -> Structure:
    """Read pymatgen's JSON ourselves: its decoder imports whatever a file names."""
    from pymatgen.core import Lattice, Structure

    try:
        matrix = content["lattice"]["matrix"]
        species = [_occupancies(site["species"]) for site in content["sites"]]
        coords = [site["abc"] for site in content["sites"]]
        periodic = content["lattice"].get("pbc", [True] * 3)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidValueError(
            f"it is not as pymatgen writes a structure ({_cause(error)})"
        ) from error
    places = _ensure_floats(coords, (len(species), 3), "sites.abc")
    _ensure_three_bools(periodic)
    cell = Lattice(_ensure_cell(matrix, "lattice.matrix"), pbc=tuple(periodic))
    return _checked(Structure(cell, species, places))


def _occupancies(kinds: list[dict[str, Any]]) -> dict[str, float]:
    # A site may hold one element more than once: Fe2+ and Fe3+.
    amounts: dict[str, float] = {}
    for kind in kinds:
        symbol = str(kind["element"])
        amounts[symbol] = amounts.get(symbol, 0.0) + float(kind["occu"])
    return amounts


def _ensure_three_bools(value: Any) -> None:
    kinds = [type(axis) for axis in value] if isinstance(value, list | tuple) else []
    if kinds != [bool] * 3:
        raise InvalidValueError(
            f"lattice.pbc must be three of true and false; got {value!r:.60}"
        )


def _ensure_bool(value: Any) -> bool:
    """Convert jarvis' spellings: JSON booleans and the words."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise InvalidValueError("atoms.cartesian must be true or false")
    return value


def _ensure_cell(value: Any, name: str) -> np.ndarray:
    matrix = _ensure_floats(value, (3, 3), name)
    if abs(np.linalg.det(matrix)) < 1e-3:
        raise InvalidValueError("the cell has no volume")
    return matrix


def _ensure_floats(value: Any, shape: tuple[int, int], name: str) -> np.ndarray:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"{name} is not numeric") from error
    if array.shape != shape:
        raise InvalidValueError(
            f"{name} must have the shape {shape}; got {array.shape}"
        )
    if not np.isfinite(array).all():
        raise InvalidValueError(f"{name} is not finite")
    return array
