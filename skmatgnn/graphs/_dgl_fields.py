"""What a DGL graph of a crystal holds, under which names, and how it is packed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidValueError
from skmatgnn.graphs._bonds import ROUNDING
from skmatgnn.utils.elements import (
    ELEMENT_SYMBOLS,
    N_ELEMENTS,
    cgcnn_element_features,
)
from skmatgnn.utils.ragged import order_in_rows, row_pointers

if TYPE_CHECKING:
    from skmatgnn.graphs._array import GraphArray, GraphSettings

__all__ = ["Sample", "pack_samples", "read_sample"]

NUMBER_FIELDS = ("Z", "atomic_number", "atomic_numbers")
VECTOR_FIELDS = ("r", "bond_vec")  # of ALIGNN, of MatGL
LENGTH_FIELDS = ("d", "bond_dist")
SAME_VECTOR = 1e-3  # Angstrom


@dataclass(frozen=True)
class Sample:
    """A graph as arrays; edges run from ``sender`` to ``receiver``.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,), uint8
    sender, receiver : ndarray of shape (n_edges,), int64
    vector : ndarray of shape (n_edges, 3)
        From the receiving atom to the sender; lengths along x, if only they are known.
    directed : bool
        Whether the directions mean anything.
    """

    numbers: np.ndarray
    sender: np.ndarray
    receiver: np.ndarray
    vector: np.ndarray
    directed: bool


def read_sample(graph: Any, index: int, *, angles: bool) -> Iterator[Sample]:
    """Read the fields of a DGLGraph, or of each part of a batched one.

    Parameters
    ----------
    graph : DGLGraph
    index : int
        Of the (first) sample, for messages.
    angles : bool
        Whether lengths without directions will not do.

    Yields
    ------
    Sample

    Raises
    ------
    InvalidValueError
        If something is missing or makes no sense.
    """
    where = f"The DGLGraph at index {index}"
    if not getattr(graph, "is_homogeneous", True):
        raise InvalidValueError(f"{where} has several kinds of nodes or edges.")
    if graph.num_nodes() == 0:
        raise InvalidValueError(f"{where} has no atoms.")
    numbers = _numbers(graph, where)
    vector, directed = _vectors(graph, where, angles)
    sender, receiver = (_array(end).astype(np.int64) for end in graph.edges())
    atoms = row_pointers(_array(graph.batch_num_nodes()))
    edges = row_pointers(_array(graph.batch_num_edges()))
    for part in range(len(atoms) - 1):
        rows = slice(edges[part], edges[part + 1])
        yield Sample(
            numbers[atoms[part] : atoms[part + 1]],
            sender[rows] - atoms[part],
            receiver[rows] - atoms[part],
            vector[rows],
            directed,
        )


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _numbers(graph: Any, where: str) -> np.ndarray:
    name = next((n for n in NUMBER_FIELDS if n in graph.ndata), "atom_features")
    if name not in graph.ndata:
        raise InvalidValueError(
            f"{where} does not say of which elements its atoms are: its atoms have "
            f"{sorted(graph.ndata)}. Expected atomic numbers in ndata['Z'], or "
            "ALIGNN's ndata['atom_features']."
        )
    values = _array(graph.ndata[name]).astype(np.float64)
    if values.ndim == 2 and values.shape[1] == cgcnn_element_features().shape[1]:
        values = _elements_of_features(values, where)
    elif values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise InvalidValueError(
            f"{where} has ndata[{name!r}] of shape {values.shape}; expected one atomic "
            "number for each atom, or CGCNN's 92 features. Put atomic numbers into "
            "ndata['Z']."
        )
    wrong = ~((values >= 1) & (values <= N_ELEMENTS) & (values == np.round(values)))
    if wrong.any():
        atom = int(np.argmax(wrong))
        raise InvalidValueError(
            f"{where} has {values[atom]} in ndata[{name!r}] of atom {atom}, which is "
            "no atomic number. Put atomic numbers into ndata['Z']."
        )
    return values.astype(np.uint8)


def _elements_of_features(features: np.ndarray, where: str) -> np.ndarray:
    known = _elements_by_features()
    numbers = np.empty(len(features))
    for atom, row in enumerate(np.round(features).astype(np.int8)):
        found = known.get(row.tobytes(), ())
        if len(found) != 1 or np.abs(features[atom] - row).max() > SAME_VECTOR:
            which = " and ".join(ELEMENT_SYMBOLS[z] for z in found) or "no element"
            raise InvalidValueError(
                f"{where} has in ndata['atom_features'] of atom {atom} CGCNN's "
                f"features of {which}. Put atomic numbers into ndata['Z']."
            )
        numbers[atom] = found[0]
    return numbers


@lru_cache(maxsize=1)
def _elements_by_features() -> dict[bytes, tuple[int, ...]]:
    table = cgcnn_element_features()
    known: dict[bytes, tuple[int, ...]] = {}
    for number in np.flatnonzero(np.isfinite(table).all(axis=1)):
        key = table[number].astype(np.int8).tobytes()
        known[key] = (*known.get(key, ()), int(number))
    return known


def _vectors(graph: Any, where: str, angles: bool) -> tuple[np.ndarray, bool]:
    """Vectors from receiver to sender; DGL's field has the other direction."""
    found = {n: _array(graph.edata[n]) for n in VECTOR_FIELDS if n in graph.edata}
    found |= {n: _array(graph.edata[n]) for n in LENGTH_FIELDS if n in graph.edata}
    for name, values in found.items():
        if values.ndim == 2 and values.shape[1] == 3:
            _require_lengths(np.linalg.norm(values, axis=1), name, where)
            return -values, True
    for name, values in found.items():
        if values.size == len(values):
            lengths = values.reshape(-1)
            _require_lengths(lengths, name, where)
            if angles:
                raise InvalidValueError(
                    f"{where} has only lengths of bonds, in edata[{name!r}], of which "
                    "no angles can be had. Put vectors from source to destination, in "
                    "Angstrom, into edata['r'], or take CGCNN."
                )
            zero = np.zeros_like(lengths)
            return np.column_stack([lengths, zero, zero]), False
    raise InvalidValueError(
        f"{where} has no bond vectors: its edges have {sorted(graph.edata)}. Expected "
        "ALIGNN's edata['r'] of shape (n_edges, 3), from source to destination in "
        "Angstrom."
    )


def _require_lengths(lengths: np.ndarray, name: str, where: str) -> None:
    wrong = ~(np.isfinite(lengths) & (lengths > 0))
    if wrong.any():
        edge = int(np.argmax(wrong))
        raise InvalidValueError(
            f"{where} has in edata[{name!r}] of edge {edge} the length "
            f"{lengths[edge]}; bonds must have a finite length above zero."
        )


def pack_samples(
    samples: list[Sample], settings: GraphSettings, first_index: int
) -> GraphArray:
    """Sort edges by receiver and length, and find the opposite of each.

    Opposite vectors that differ a little, as by rounding, are replaced by their mean.

    Parameters
    ----------
    samples : list of Sample
    settings : GraphSettings
    first_index : int
        Of the first, for messages.

    Returns
    -------
    GraphArray

    Raises
    ------
    InvalidValueError
        If an edge has no opposite.
    """
    from skmatgnn.graphs._array import GraphArray

    node_ptr = row_pointers(np.array([len(s.numbers) for s in samples]))
    n_edges = np.array([len(s.sender) for s in samples])
    owner = np.repeat(np.arange(len(samples)), n_edges)
    sender = np.concatenate([s.sender for s in samples]) + node_ptr[owner]
    receiver = np.concatenate([s.receiver for s in samples]) + node_ptr[owner]
    vector = np.concatenate([s.vector for s in samples])
    order = _order(receiver, vector)
    sender, receiver, vector = sender[order], receiver[order], vector[order]
    edge_ptr = row_pointers(np.bincount(receiver, minlength=node_ptr[-1]))
    directed = all(s.directed for s in samples)
    reverse, lonely = _opposites(sender, receiver, vector, directed)
    if lonely is not None:
        raise InvalidValueError(
            f"The DGLGraph at index {first_index + owner[lonely]} has the edge "
            f"{order[lonely] - row_pointers(n_edges)[owner[lonely]]} but not its "
            "opposite, from destination to source with the vector -r, once for each "
            "time. Add it: crystal graphs have every bond in both directions."
        )
    if directed:
        vector = (vector - vector[reverse]) / 2  # or only one may be within a cutoff
        order = _order(receiver, vector)
        sender, vector = sender[order], vector[order]
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        reverse = place[reverse[order]]
    return GraphArray(
        node_ptr=node_ptr,
        atomic_numbers=np.concatenate([s.numbers for s in samples]),
        edge_ptr=edge_ptr,
        bond_count=np.diff(edge_ptr).astype(np.int32),
        sender=(sender - node_ptr[owner]).astype(np.int32),
        reverse=(reverse - edge_ptr[node_ptr[owner]]).astype(np.int32),
        displacement=vector,
        settings=settings,
    )


def _order(receiver: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Sort by length, but leave alone what was sorted before lengths were rounded."""
    length = np.linalg.norm(vector.astype(np.float64), axis=1)
    same_row = np.diff(receiver) == 0
    falls = length[1:] < length[:-1] * (1 - ROUNDING)
    if (np.diff(receiver) >= 0).all() and not (same_row & falls).any():
        return np.arange(len(receiver))
    return order_in_rows(receiver, length)


def _opposites(
    sender: np.ndarray, receiver: np.ndarray, vector: np.ndarray, directed: bool
) -> tuple[np.ndarray, int | None]:
    """Opposite of each edge, which comes as often; or an edge that has none."""
    if len(sender) == 0:
        return np.zeros(0, dtype=np.int64), None
    if directed:
        from scipy.spatial import cKDTree

        # atoms so far apart that only edges of the same pair are near each other
        scale = 10 * (1 + np.abs(vector).max())
        there = np.column_stack([scale * sender, scale * receiver, vector])
        back = np.column_stack([scale * receiver, scale * sender, -vector])
        tree = cKDTree(there)
        kind = tree.query(there)[1]  # of edges that occur twice, one stands for both
        distance, opposite = tree.query(back)
        far = distance > SAME_VECTOR
        if far.any():
            return opposite, int(np.argmax(far))
        opposite = kind[opposite]
        of_there, of_back = (np.argsort(x, kind="stable") for x in (kind, opposite))
        unequal = kind[of_there] != opposite[of_back]
    else:
        length = np.linalg.norm(vector, axis=1)
        of_there = np.lexsort((length, receiver, sender))
        of_back = np.lexsort((length, sender, receiver))
        unequal = (sender[of_there] != receiver[of_back]) | (
            receiver[of_there] != sender[of_back]
        )
        unequal |= np.abs(length[of_there] - length[of_back]) > SAME_VECTOR
    reverse = np.empty(len(sender), dtype=np.int64)
    reverse[of_back] = of_there
    return reverse, int(of_back[np.argmax(unequal)]) if unequal.any() else None
