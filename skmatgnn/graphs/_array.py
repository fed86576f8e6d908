"""Crystal graphs packed into flat arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs._bonds import count_bonds
from skmatgnn.utils.packed_file import read_arrays, write_arrays
from skmatgnn.utils.ragged import ensure_row_index, ragged_indices, row_pointers
from skmatgnn.utils.validation import describe

__all__ = ["GraphArray", "GraphSettings"]


@dataclass(frozen=True)
class GraphSettings:
    """How graphs were made.

    Parameters
    ----------
    cutoff : float
        Radius in Angstrom.
    max_neighbors : int or None
        Neighbours in each atom's shell; None for all within ``cutoff``.
    three_body_cutoff : float or None
        Longest bond, in Angstrom, of which angles are taken; None for all.
    shell_tolerance : float
        Distances that differ by less, in Angstrom, belong to one shell.
    """

    cutoff: float
    max_neighbors: int | None
    three_body_cutoff: float | None
    shell_tolerance: float


@dataclass(frozen=True, eq=False, repr=False)
class GraphArray(Sequence):
    """Many crystal graphs in seven flat arrays.

    Edges are sorted by receiving atom and, within it, by length, before vectors are
    rounded. Every edge's reverse is there too. The line graph is implied: the edge
    ``j -> i`` receives from the consecutive edges that end in ``j`` and are no longer
    than the three-body cutoff, which are the first ``bond_count[j]`` of them. Lengths
    that only rounding tells apart are all within the cutoff, or none of them is.

    Parameters
    ----------
    node_ptr : ndarray of shape (n + 1,)
        Atoms ``node_ptr[g]:node_ptr[g + 1]`` belong to graph ``g``.
    atomic_numbers : ndarray of shape (n_atoms,), uint8
    edge_ptr : ndarray of shape (n_atoms + 1,)
        Edges ``edge_ptr[v]:edge_ptr[v + 1]`` end in atom ``v``.
    bond_count : ndarray of shape (n_atoms,), int32
        How many of these are short enough for angles.
    sender : ndarray of shape (n_edges,), int32
        Atom from which an edge starts, numbered within its graph.
    reverse : ndarray of shape (n_edges,), int32
        The opposite edge, numbered within its graph.
    displacement : ndarray of shape (n_edges, 3)
        From the receiving atom to the sender, in Angstrom.
    settings : GraphSettings
        How the graphs were made.

    See Also
    --------
    skmatgnn.graphs.StructureToGraph : Makes it.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from skmatgnn.graphs import StructureToGraph
    >>> salt = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> graphs = StructureToGraph(max_neighbors=8).fit_transform([salt, salt])
    >>> graphs
    GraphArray of 2 graphs, 4 atoms, 32 edges
    >>> graphs[:1].n_edges.tolist()
    [16]
    """

    node_ptr: np.ndarray
    atomic_numbers: np.ndarray
    edge_ptr: np.ndarray
    bond_count: np.ndarray
    sender: np.ndarray
    reverse: np.ndarray
    displacement: np.ndarray
    settings: GraphSettings

    _format: ClassVar[str] = "skmatgnn.GraphArray"
    _version: ClassVar[int] = 1

    def __len__(self) -> int:
        return len(self.node_ptr) - 1

    @property
    def shape(self) -> tuple[int]:
        """Number of graphs, as NumPy spells it."""
        return (len(self),)

    @property
    def ndim(self) -> int:
        """Always one."""
        return 1

    @property
    def n_atoms(self) -> np.ndarray:
        """Atoms in each graph."""
        return np.diff(self.node_ptr)

    @property
    def n_edges(self) -> np.ndarray:
        """Directed edges in each graph."""
        return np.diff(self.edge_ptr[self.node_ptr])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self._arrays().values())

    def __sizeof__(self) -> int:
        # dask sends what is large once, and asks for the size by this
        return object.__sizeof__(self) + self.nbytes

    def __repr__(self) -> str:
        return (
            f"GraphArray of {len(self)} graphs, {self.node_ptr[-1]} atoms, "
            f"{self.edge_ptr[-1]} edges"
        )

    def __getitem__(self, key: Any) -> GraphArray:
        index = ensure_row_index(key, len(self))
        index = np.atleast_1d(index)
        first_atom = self.node_ptr[index]
        n_atoms = self.node_ptr[index + 1] - first_atom
        nodes = ragged_indices(first_atom, n_atoms)
        first_edge = self.edge_ptr[nodes]
        degree = self.edge_ptr[nodes + 1] - first_edge
        edges = ragged_indices(first_edge, degree)
        return GraphArray(
            row_pointers(n_atoms),
            self.atomic_numbers[nodes],
            row_pointers(degree),
            self.bond_count[nodes],
            self.sender[edges],
            self.reverse[edges],
            self.displacement[edges],
            self.settings,
        )

    def __iter__(self) -> Iterator[GraphArray]:
        return (self[index] for index in range(len(self)))

    def without_angles(self) -> GraphArray:
        """Leave the line graph empty, for networks that do not read it.

        Returns
        -------
        GraphArray
            Shares all other arrays.
        """
        settings = replace(self.settings, three_body_cutoff=0.0)
        count = np.zeros_like(self.bond_count)
        return replace(self, bond_count=count, settings=settings)

    def with_three_body_cutoff(self, cutoff: float | None) -> GraphArray:
        """Take the angles between other bonds; the edges stay the same.

        Parameters
        ----------
        cutoff : float or None
            Longest bond, in Angstrom, of which angles are taken; None for all.

        Returns
        -------
        GraphArray
            Shares all other arrays.
        """
        if cutoff is None:
            settings = replace(self.settings, three_body_cutoff=None)
            count = np.diff(self.edge_ptr).astype(np.int32)
            return replace(self, bond_count=count, settings=settings)
        cutoff = float(cutoff)  # JSON has no numbers of NumPy
        settings = replace(self.settings, three_body_cutoff=cutoff)
        count = count_bonds(self.node_ptr, self.edge_ptr, self.displacement, cutoff)
        return replace(self, bond_count=count, settings=settings)

    def _arrays(self) -> dict[str, np.ndarray]:
        names = [field.name for field in fields(self) if field.name != "settings"]
        return {name: getattr(self, name) for name in names}

    @classmethod
    def concatenate(cls, parts: Sequence[GraphArray]) -> GraphArray:
        """Join graphs that were made alike.

        Parameters
        ----------
        parts : sequence of GraphArray

        Returns
        -------
        GraphArray

        Raises
        ------
        InvalidTypeError
            If a part is no GraphArray, with its index.
        InvalidValueError
            If there is no part, or parts were made with different settings.
        """
        if len(parts) == 0:
            raise InvalidValueError("There are no graphs to join.")
        for index, part in enumerate(parts):
            if not isinstance(part, cls):
                raise InvalidTypeError(
                    f"Expected a graph at index {index}; got {describe(part)}. Do not "
                    "mix graphs with structures."
                )
            if part.settings != parts[0].settings:
                raise InvalidValueError(
                    f"The graph at index {index} was made with {part.settings}, the "
                    f"first with {parts[0].settings}. Make all graphs alike."
                )
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in (
                "atomic_numbers",
                "bond_count",
                "sender",
                "reverse",
                "displacement",
            )
        }
        return cls(
            node_ptr=row_pointers(np.concatenate([p.n_atoms for p in parts])),
            edge_ptr=row_pointers(np.concatenate([np.diff(p.edge_ptr) for p in parts])),
            settings=parts[0].settings,
            **columns,
        )

    def to_dgl(self, *, atom_features: str = "atomic_number") -> list[Any]:
        """Make one DGLGraph of each graph, with the fields that ALIGNN's have.

        Parameters
        ----------
        atom_features : {"atomic_number", "cgcnn"}, default="atomic_number"
            What is in ``ndata["atom_features"]``: atomic numbers, (n_atoms, 1), or
            CGCNN's 92 features.

        Returns
        -------
        list of DGLGraph
            With atomic numbers in ``ndata["Z"]`` and vectors from source to
            destination, in Angstrom, in ``edata["r"]``. Edges keep their order. Of the
            line graph, see :meth:`GraphBatch.to_dgl`.

        Raises
        ------
        ImportError
            If DGL is not installed.

        Examples
        --------
        >>> from skmatgnn.datasets import make_crystals
        >>> from skmatgnn.graphs import StructureToGraph
        >>> graphs = StructureToGraph().transform(make_crystals(2, random_state=0).data)
        >>> graphs.to_dgl()[0].edata["r"].shape  # doctest: +SKIP
        torch.Size([24, 3])
        """
        from skmatgnn.graphs._dgl import graphs_to_dgl

        return graphs_to_dgl(self, atom_features=atom_features)

    @classmethod
    def from_dgl(
        cls,
        graphs: Any,
        *,
        cutoff: float = 8.0,
        max_neighbors: int | None = 12,
        three_body_cutoff: float | None = None,
        shell_tolerance: float = 0.01,
        angles: bool = True,
    ) -> GraphArray:
        """Pack graphs of DGL, such as those that ALIGNN makes.

        Parameters
        ----------
        graphs : sequence of DGLGraph, or a batched DGLGraph
            Read are atomic numbers from ``ndata["Z"]``, ``["atomic_number"]``,
            ``["atomic_numbers"]`` or ``["atom_features"]`` (numbers, or CGCNN's 92
            features), and vectors from source to destination, in Angstrom, from
            ``edata["r"]`` or ``["bond_vec"]``. Every edge needs its opposite.
        cutoff : float, default=8.0
            As which the graphs are to be known: how they were made is not in them.
            Estimators take graphs only of the settings that they were trained with.
        max_neighbors : int or None, default=12
            The same.
        three_body_cutoff : float or None, default=None
            Longest bond, in Angstrom, of which angles are taken; None leaves it to the
            estimator.
        shell_tolerance : float, default=0.01
            As ``cutoff``.
        angles : bool, default=True
            False reads lengths from ``edata["d"]``, ``["bond_dist"]`` or a
            one-dimensional ``["r"]`` where there are no vectors, and leaves the line
            graph empty.

        Returns
        -------
        GraphArray
            Atoms keep their order; edges are sorted by receiver and length.

        Raises
        ------
        InvalidTypeError
            If something is no DGLGraph, with its index.
        InvalidValueError
            If a graph lacks what is needed, with its index.

        Notes
        -----
        Estimators do this with a list of DGL graphs at every call. Do it once before a
        search, and always before one with ``n_jobs``: worker processes cannot unpickle
        a DGLGraph where DGL does not import by itself, as with a current torch.

        Examples
        --------
        >>> from skmatgnn.datasets import make_crystals
        >>> from skmatgnn.graphs import GraphArray, StructureToGraph
        >>> graphs = StructureToGraph().transform(make_crystals(2, random_state=0).data)
        >>> GraphArray.from_dgl(graphs.to_dgl())  # doctest: +SKIP
        GraphArray of 2 graphs, 7 atoms, 94 edges
        """
        from skmatgnn.graphs._dgl import graphs_from_dgl

        settings = GraphSettings(
            cutoff=float(cutoff),
            max_neighbors=max_neighbors and int(max_neighbors),
            three_body_cutoff=three_body_cutoff and float(three_body_cutoff),
            shell_tolerance=float(shell_tolerance),
        )
        return graphs_from_dgl(graphs, settings, angles=angles)

    def save(self, path: str | Path) -> None:
        """Write to one file, which replaces an old one only when complete.

        Parameters
        ----------
        path : str or Path
        """
        write_arrays(path, self._arrays(), self.file_metadata(self.settings))

    @classmethod
    def file_metadata(cls, settings: GraphSettings) -> dict[str, str]:
        """Say what a file holds, for its header.

        Parameters
        ----------
        settings : GraphSettings

        Returns
        -------
        dict of str to str
        """
        return {
            "format": cls._format,
            "version": str(cls._version),
            "settings": json.dumps(asdict(settings)),
        }

    @classmethod
    def load(cls, path: str | Path, *, memory_map: bool = True) -> GraphArray:
        """Read a file that :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path
        memory_map : bool, default=True
            Leave the arrays on disk and read what is used.

        Returns
        -------
        GraphArray

        Raises
        ------
        InvalidValueError
            If the file is none of ours, is cut short, or has another version.
        """
        arrays, metadata = read_arrays(path, memory_map=memory_map)
        version = metadata.get("version")
        if metadata.get("format") != cls._format or version != str(cls._version):
            raise InvalidValueError(
                f"{path} holds no GraphArray of version {cls._version}; got format "
                f"{metadata.get('format')!r}, version {version!r}. Make it again with "
                "GraphArray.save."
            )
        try:
            settings = GraphSettings(**json.loads(metadata["settings"]))
            return cls(**arrays, settings=settings)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InvalidValueError(f"{path} is damaged: {error}.") from error
