"""Element mover's distance between compositions, one-dimensional and in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist
from sklearn import get_config
from sklearn.utils import gen_batches

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.preprocessing._formula import parse_compositions
from skmatgnn.utils._compiled import compiled_module
from skmatgnn.utils.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skmatgnn._typing import FloatArray, IntArray
    from skmatgnn.preprocessing._formula import PackedCompositions

    Scale = str | Mapping[str, float]

MODIFIED_PETTIFOR = tuple(
    """
He Ne Ar Kr Xe Rn Fr Cs Rb K Na Li Ra Ba Sr Ca Eu Yb Lu Tm Y Er Ho Dy Tb Gd Sm Pm Nd Pr
Ce La Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Sc Zr Hf Ti Ta Nb V Cr Mo W Re Tc Os
Ru Ir Rh Pt Pd Au Ag Cu Ni Co Fe Mn Mg Zn Cd Hg Be Al Ga In Tl Pb Sn Ge Si B C N P As Sb
Bi Po Te Se S O At I Br Cl F H
""".split()  # noqa: SIM905 - a literal list of 103 strings is unreadable
)

# Cumulative fractions are multiples of 2**-44: sums of 103 of them are then exact in
# float64, whatever their order, so that the axioms of a metric hold to the last bit.
_GRID = 2.0**44
# The same for integer sums over up to a million compositions.
_COARSE_GRID = 2.0**36
_TILE = 96
# Pairs: what the loops save by then is near to what it takes to load them, once.
_WORTH_COMPILED = 2**22


def element_movers_distance(a: Any, b: Any, *, scale: Scale = "mod_petti") -> float:
    """Element mover's distance (ElMD) between two compositions.

    The least work to turn one composition into the other, if moving a fraction of the
    atoms from one element to another costs the difference of their positions on a
    scale on which chemically similar elements are close [1]_.

    Parameters
    ----------
    a, b : str, Composition, Structure, ase.Atoms or dict
        The two compositions. Only atomic fractions count.
    scale : "mod_petti" or mapping of str to float, default="mod_petti"
        Positions of the elements: the modified Pettifor order [2]_, 0 (He) to 102
        (H), or one's own by element symbol.

    Returns
    -------
    float
        Non-negative; a metric on atomic fractions, at most 102 on the modified
        Pettifor scale.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If a composition cannot be used, or has an element without a position, such
        as those heavier than lawrencium on the modified Pettifor scale.

    See Also
    --------
    element_movers_distances : Between all pairs of many compositions.

    References
    ----------
    .. [1] C. J. Hargreaves, M. S. Dyer, M. W. Gaultois, V. A. Kurlin,
       M. J. Rosseinsky, "The Earth Mover's Distance as a Metric for the Space of
       Inorganic Compositions", Chem. Mater. 32, 10610 (2020).
    .. [2] H. Glawe, A. Sanna, E. K. U. Gross, M. A. L. Marques, "The optimal one
       dimensional periodic table: a modified Pettifor chemical scale from data
       mining", New J. Phys. 18, 093011 (2016).

    Examples
    --------
    >>> from skmatgnn.metrics import element_movers_distance
    >>> round(element_movers_distance("CaTiO3", "SrTiO3"), 9)
    0.2
    """
    tables = _cumulative(parse_compositions([a, b]), scale)
    return float(_matrix(tables.take([0]), tables.take([1]))[0, 0])


def element_movers_distances(
    X: Any, Y: Any = None, *, scale: Scale = "mod_petti"
) -> FloatArray:
    """Element mover's distances between all pairs of compositions.

    Parameters
    ----------
    X : sequence of str, Composition, Structure, ase.Atoms or dict
        The compositions of the rows.
    Y : sequence, default=None
        Those of the columns; by default those of ``X``.
    scale : "mod_petti" or mapping of str to float, default="mod_petti"
        As for :func:`element_movers_distance`.

    Returns
    -------
    ndarray of shape (n_X, n_Y), float64
        The distances. Without ``Y`` the matrix is exactly symmetric with a zero
        diagonal, as ``metric="precomputed"`` wants it.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        As for :func:`element_movers_distance`, with the indices of the samples.

    See Also
    --------
    element_movers_distances_chunked : Row by row, for matrices that do not fit.

    Notes
    -----
    In one dimension the work is the area between the cumulative fractions,
    ``sum(abs(cumsum(p - q)))``. The compositions are sorted so that neighbours share
    elements; a tile of the matrix then only visits the positions that occur in it.
    Beyond the result itself about 5 kB are needed for each composition.
    Cumulative fractions are rounded to multiples of 2**-44, which changes a distance
    by less than 6e-12 and makes every sum exact. Beyond four million pairs on a scale
    of whole numbers, loops compiled by Numba (``skmatgnn[cpu]``) give the same.

    Examples
    --------
    >>> from skmatgnn.metrics import element_movers_distances
    >>> element_movers_distances(["NaCl", "KCl", "Na2Cl2"]).tolist()
    [[0.0, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.0]]
    """
    rows = _cumulative(parse_compositions(X), scale)
    columns = None if Y is None else _cumulative(parse_compositions(Y), scale, "Y")
    return _matrix(rows, columns)


def element_movers_distances_chunked(
    X: Any,
    Y: Any = None,
    *,
    scale: Scale = "mod_petti",
    working_memory: float | None = None,
) -> Iterator[tuple[slice, FloatArray]]:
    """Element mover's distances in blocks of rows that fit into memory.

    Parameters
    ----------
    X : sequence of str, Composition, Structure, ase.Atoms or dict
        The compositions of the rows.
    Y : sequence, default=None
        Those of the columns; by default those of ``X``.
    scale : "mod_petti" or mapping of str to float, default="mod_petti"
        As for :func:`element_movers_distance`.
    working_memory : float, default=None
        Largest size of a block in MiB (one row at least); by default that of
        ``sklearn.get_config()["working_memory"]``.

    Yields
    ------
    rows : slice
        Which rows of the matrix follow.
    block : ndarray of shape (n_rows, n_Y), float64
        Those rows of :func:`element_movers_distances`, equal to the last bit on scales
        of whole numbers, and to rounding on others.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        As for :func:`element_movers_distances`.

    Examples
    --------
    >>> from skmatgnn.metrics import element_movers_distances_chunked
    >>> formulas = ["NaCl", "KCl", "RbCl", "NaF"]
    >>> for rows, block in element_movers_distances_chunked(formulas):
    ...     (block < 1.5).sum(axis=1)
    array([4, 4, 3, 3])
    """
    rows = _cumulative(parse_compositions(X), scale)
    columns = rows if Y is None else _cumulative(parse_compositions(Y), scale, "Y")
    if working_memory is None:
        working_memory = get_config()["working_memory"]
    n_rows = max(1, int(working_memory * 2**20 / (8 * len(columns))))
    return (
        (batch, _matrix(rows.take(np.arange(batch.start, batch.stop)), columns))
        for batch in gen_batches(len(rows), n_rows)
    )


def mean_element_movers_distances(X: Any, *, scale: Scale = "mod_petti") -> FloatArray:
    """Mean distance of each composition to all of them, itself included.

    Parameters
    ----------
    X : sequence of str, Composition, Structure, ase.Atoms or dict
        The compositions.
    scale : "mod_petti" or mapping of str to float, default="mod_petti"
        As for :func:`element_movers_distance`.

    Returns
    -------
    ndarray of shape (n,), float64
        Row means of the distance matrix, to 1e-9 on the modified Pettifor scale;
        equal compositions, and equal sums, give equal means.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        As for :func:`element_movers_distances`.

    Notes
    -----
    The matrix is never formed: at each position the sum of absolute differences to
    all samples follows from the sorted values and their running sums, so that the
    time is O(n log n) and the memory O(n).

    Examples
    --------
    >>> from skmatgnn.metrics import mean_element_movers_distances
    >>> mean_element_movers_distances(["NaCl", "KCl", "RbCl", "NaCl"]).tolist()
    [0.375, 0.375, 0.625, 0.375]
    """
    tables = _cumulative(parse_compositions(X), scale)
    columns = np.flatnonzero(tables.present.any(axis=0))
    widths = np.diff(tables.positions[columns])
    largest = widths.sum() * len(tables) * _COARSE_GRID
    if (widths == np.round(widths)).all() and largest < 2.0**62:
        widths = widths.astype(np.int64)
    total = np.zeros(len(tables), dtype=widths.dtype)
    for column, width in zip(columns[:-1], widths, strict=True):
        values = np.round(tables.values[:, column] * _COARSE_GRID).astype(np.int64)
        total += width * _absolute_differences(values)
    return total / (_COARSE_GRID * len(tables))


@dataclass(frozen=True)
class _Tables:
    """Cumulative fractions of compositions along a scale.

    ``values`` (n, n_positions) holds the fraction of atoms at or before each
    position, ``present`` whether an element stands there, ``positions`` the scale.
    """

    values: FloatArray
    present: np.ndarray
    positions: FloatArray

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Any) -> _Tables:
        return _Tables(self.values[rows], self.present[rows], self.positions)


def _cumulative(packed: PackedCompositions, scale: Scale, name: str = "X") -> _Tables:
    by_number = _positions_by_atomic_number(scale)
    entries = by_number[packed.atomic_numbers]
    _require_positions(packed, entries, scale, name)
    positions = np.unique(by_number[~np.isnan(by_number)])
    column = np.searchsorted(positions, entries)
    # two elements may share a position of one's own scale
    shape = (len(packed), len(positions))
    place = packed.rows * shape[1] + column
    amounts = np.bincount(place, packed.fractions, shape[0] * shape[1]).reshape(shape)
    present = amounts > 0
    values = np.cumsum(amounts, axis=1, out=amounts)
    np.round(np.multiply(values, _GRID, out=values), out=values)
    return _Tables(np.divide(values, _GRID, out=values), present, positions)


def _positions_by_atomic_number(scale: Scale) -> FloatArray:
    positions = np.full(N_ELEMENTS + 1, np.nan)
    if isinstance(scale, str) and scale == "mod_petti":
        scale = {symbol: index for index, symbol in enumerate(MODIFIED_PETTIFOR)}
    if not isinstance(scale, Mapping):
        raise InvalidValueError(
            "scale must be 'mod_petti' or a mapping of element symbols to positions "
            f"such as {{'Na': 11, 'Cl': 17}}; got {describe(scale)}."
        )
    for symbol, position in scale.items():
        if symbol not in ATOMIC_NUMBERS:
            raise InvalidValueError(
                f"scale has a position for {symbol!r}, which is no element symbol."
            )
        try:
            positions[ATOMIC_NUMBERS[symbol]] = position
        except (TypeError, ValueError) as error:
            raise InvalidTypeError(
                f"scale[{symbol!r}] must be a number; got {describe(position)}."
            ) from error
    if np.isinf(positions).any():
        raise InvalidValueError("scale has an infinite position; give finite numbers.")
    return positions


def _require_positions(
    packed: PackedCompositions, entries: FloatArray, scale: Scale, name: str
) -> None:
    unknown = np.flatnonzero(np.isnan(entries))
    if len(unknown):
        symbols = {ELEMENT_SYMBOLS[packed.atomic_numbers[i]] for i in unknown}
        indices = np.unique(packed.rows[unknown])
        label = repr(scale) if isinstance(scale, str) else "given"
        raise InvalidValueError(
            f"The {label} scale has no position for {', '.join(sorted(symbols))}, "
            f"which {len(indices)} of {len(packed)} samples of {name} contain; the "
            f"first at index {indices[0]}. Drop such samples, or give a mapping as "
            "scale= that has these elements."
        )


def _matrix(rows: _Tables, columns: _Tables | None) -> FloatArray:
    """Fill the matrix in strips of tiles; of a symmetric one mirror half."""
    n_pairs = len(rows) * (len(rows) // 2 if columns is None else len(columns))
    # Where sums are not exact, the last digits would tell who computed them.
    exact = (rows.positions == np.round(rows.positions)).all()
    if exact and n_pairs >= _WORTH_COMPILED:
        loops = compiled_module(
            "skmatgnn.metrics._element_movers_numba",
            "element mover's distances are computed",
        )
        if loops is not None:
            return _compiled_matrix(loops, rows, columns)
    row_tiles = _tiles(rows)
    column_tiles = row_tiles if columns is None else _tiles(columns)
    result = np.zeros((len(rows), len(rows if columns is None else columns)))
    for number, left in enumerate(row_tiles):
        rights = column_tiles[number:] if columns is None else column_tiles
        strip = np.hstack([_tile(left, right, rows.positions) for right in rights])
        index = np.concatenate([right.rows for right in rights])
        for row, distances in zip(left.rows, strip, strict=True):
            result[row][index] = distances
    if columns is None:
        _mirror(result)
    return result


def _compiled_matrix(loops: Any, rows: _Tables, columns: _Tables | None) -> FloatArray:
    result = np.zeros((len(rows), len(rows if columns is None else columns)))
    others = None if columns is None else _ordered(columns)
    loops.fill(_ordered(rows), others, rows.positions, result)
    return result


def _ordered(tables: _Tables) -> tuple[IntArray, FloatArray, np.ndarray]:
    order = _order_by_rarest_elements(tables.present)
    return order, tables.values[order], tables.present[order]


def _tile(left: _Tile, right: _Tile, positions: FloatArray) -> FloatArray:
    used = np.flatnonzero(left.present | right.present)
    widths = np.diff(positions[used])
    used = used[:-1]
    return cdist(
        left.values[:, used] * widths, right.values[:, used] * widths, "cityblock"
    )


def _mirror(matrix: FloatArray) -> None:
    """Fill in the zeros: of each pair of entries one is set, both if within a tile."""
    batches = list(gen_batches(len(matrix), _TILE))
    for number, left in enumerate(batches):
        for right in batches[number:]:
            block = np.maximum(matrix[left, right], matrix[right, left].T)
            matrix[left, right] = block
            matrix[right, left] = block.T


@dataclass(frozen=True)
class _Tile:
    """Rows of a table, their cumulative fractions, and which positions they have."""

    rows: IntArray
    values: FloatArray
    present: np.ndarray


def _tiles(tables: _Tables) -> list[_Tile]:
    """Cut a table so that the rows of a tile have elements in common."""
    if len(tables) <= _TILE:
        order: IntArray = np.arange(len(tables))
    else:
        order = _order_by_rarest_elements(tables.present)
    return [
        _Tile(rows, tables.values[rows], tables.present[rows].any(axis=0))
        for rows in (order[batch] for batch in gen_batches(len(tables), _TILE))
    ]


def _order_by_rarest_elements(present: np.ndarray) -> IntArray:
    """Sort by the rarest element, then the next two: a tile has few distinct ones."""
    counts = present.sum(axis=0)
    frequency = np.where(present, counts, len(present) + 1)
    depth = min(3, present.shape[1])
    rarest = np.argsort(frequency, axis=1, kind="stable")[:, :depth]
    # beyond a sample's own elements the order is arbitrary but harmless
    return np.lexsort(rarest.T[::-1])


def _absolute_differences(values: IntArray) -> IntArray:
    """Sum over j of ``abs(values[i] - values[j])`` for each i."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    below = np.cumsum(ranked)
    rank = np.arange(1, len(values) + 1)
    sums = np.empty_like(values)
    sums[order] = ranked * (2 * rank - len(values)) - 2 * below + below[-1]
    return sums
