"""Structures to graphs, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import count, islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin
from tqdm.auto import tqdm

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs._array import GraphArray, GraphSettings
from skmatgnn.graphs._device import resolve_device
from skmatgnn.graphs._dgl import is_dgl_graph
from skmatgnn.graphs._neighbors import Edges, find_edges
from skmatgnn.graphs._writer import GraphWriter
from skmatgnn.preprocessing import StructureArray
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import Interval, StrOptions, fit_context
from skmatgnn.utils._stateless import StatelessMixin
from skmatgnn.utils.ragged import row_pointers

__all__ = ["StructureToGraph", "ensure_graphs"]

CHUNK = 128  # structures that are built in one vectorised pass
# On a GPU passes are long, so that it is busy, and bounded by their atoms too.
GPU_CHUNK, GPU_ATOMS = 2**14, 2**18
GPU_ITERATOR_CHUNK = 2**10
MIN_ON_GPU = 64  # structures; fewer are quicker on the CPU


class StructureToGraph(DocLinkMixin, StatelessMixin, TransformerMixin, BaseEstimator):
    """Turn crystal structures into graphs of atoms, bonds and bond angles.

    Every atom is joined to its ``max_neighbors`` nearest neighbours, counting
    periodic images, and to all others at the same distance: shells are taken whole,
    so that the order of the atoms, the orientation and the choice of the cell do not
    change the graph. A pair is joined if either end asks for it, and edges go both
    ways.

    Parameters
    ----------
    cutoff : float, default=8.0
        Radius in Angstrom. With ``max_neighbors`` it grows until every atom has that
        many neighbours, and shrinks where fewer Angstroms hold them: then it does
        not change which edges there are, only how far the networks' radial basis
        reaches.
    max_neighbors : int or None, default=12
        Neighbours of each atom. None takes all within ``cutoff``.
    three_body_cutoff : float or None, default=None
        Longest bond, in Angstrom, of which angles are taken; None leaves it to the
        estimator that the graphs are given to. Shorter is much faster: the angles
        grow with the square of the bonds.
    shell_tolerance : float, default=0.01
        Distances that differ by less, in Angstrom, belong to one shell.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the bond vectors.
    output : {"packed", "dgl"}, default="packed"
        What ``transform`` gives: a GraphArray, or a list of DGLGraph with the fields
        that ALIGNN's have (of the extra ``skmatgnn[dgl]``), as ``GraphArray.to_dgl``
        makes them. Estimators take both, and need much more time and memory for the
        latter.
    n_jobs : int or None, default=None
        Worker processes; None is one, -1 all cores. Not used on a GPU.
    device : str or torch.device, default="cpu"
        Where neighbours are searched; "auto" is CUDA where there is one. The graphs
        are the same, and are returned in the host's memory. Estimators search on
        the device that they train on.
    verbose : bool, default=False
        Whether to show a progress bar.

    See Also
    --------
    skmatgnn.ALIGNNRegressor : Makes its graphs itself, if it is given structures.

    Notes
    -----
    Build graphs once, outside a search: they are much smaller than structures, and
    every fit of the search then starts at once.

    References
    ----------
    Choudhary, DeCost, npj Comput. Mater. 7, 185 (2021): 12 nearest neighbours.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from skmatgnn.graphs import StructureToGraph
    >>> copper = Structure(Lattice.cubic(3.6), ["Cu"] * 4,
    ...     [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    >>> StructureToGraph().fit_transform([copper])
    GraphArray of 1 graphs, 4 atoms, 48 edges
    """

    _parameter_constraints = {
        "cutoff": [Interval(Real, 0, None, closed="neither")],
        "max_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "three_body_cutoff": [Interval(Real, 0, None, closed="neither"), None],
        "shell_tolerance": [Interval(Real, 0, None, closed="left")],
        "dtype": [StrOptions({"float32", "float64"})],
        "output": [StrOptions({"packed", "dgl"})],
        "n_jobs": [Integral, None],
        "device": [str, torch.device],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        cutoff: float = 8.0,
        max_neighbors: int | None = 12,
        three_body_cutoff: float | None = None,
        shell_tolerance: float = 0.01,
        dtype: str = "float32",
        output: str = "packed",
        n_jobs: int | None = None,
        device: str | torch.device = "cpu",
        verbose: bool = False,
    ) -> None:
        self.cutoff = cutoff
        self.max_neighbors = max_neighbors
        self.three_body_cutoff = three_body_cutoff
        self.shell_tolerance = shell_tolerance
        self.dtype = dtype
        self.output = output
        self.n_jobs = n_jobs
        self.device = device
        self.verbose = verbose

    def set_output(self, *, transform: Any = None) -> StructureToGraph:
        """Do nothing: graphs are no table.

        Parameters
        ----------
        transform : object
            Ignored; here so that ``Pipeline.set_output`` works.

        Returns
        -------
        StructureToGraph
        """
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> StructureToGraph:
        """Check the parameters and that X can be read; nothing is learnt.

        Parameters
        ----------
        X : sequence of Structure or Atoms
        y : object
            Ignored.

        Returns
        -------
        StructureToGraph
        """
        self._settings()
        StructureArray.from_structures(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None) -> GraphArray | list[Any]:
        """Build the graphs; the same as :meth:`transform`.

        Parameters
        ----------
        X : sequence of Structure or Atoms
        y : object
            Ignored.

        Returns
        -------
        GraphArray, or list of DGLGraph with ``output="dgl"``
        """
        return self.transform(X)

    def transform(self, X: Any) -> GraphArray | list[Any]:
        """Build the graphs.

        Parameters
        ----------
        X : sequence of Structure or Atoms
            Any container that StructureArray.from_structures takes.

        Returns
        -------
        GraphArray, or list of DGLGraph with ``output="dgl"``

        Raises
        ------
        InvalidTypeError, InvalidValueError
            If a structure cannot be used, naming its index.
        ImportError
            If DGL is needed but not installed.
        """
        packed = self.transform_to_packed(X)
        return packed.to_dgl() if self.output == "dgl" else packed

    def transform_to_packed(self, X: Any) -> GraphArray:
        """Build the graphs, whatever ``output`` is.

        Parameters
        ----------
        X : sequence of Structure or Atoms

        Returns
        -------
        GraphArray

        Raises
        ------
        InvalidTypeError, InvalidValueError
            If a structure cannot be used, naming its index.
        """
        settings = self._settings()
        structures = StructureArray.from_structures(X)
        parts = list(self._parts(structures, settings))
        return parts[0] if len(parts) == 1 else GraphArray.concatenate(parts)

    def transform_to_file(self, X: Any, path: str | Path) -> GraphArray:
        """Build the graphs and write them to a file, in the memory of a few of them.

        They are packed whatever ``output`` is.

        Parameters
        ----------
        X : sequence or iterator of Structure or Atoms
            An iterator, such as a generator that reads files, is used up step by step,
            so that not even the structures need fit into memory.
        path : str or Path
            File to write. It appears, and replaces an old one, when it is complete.

        Returns
        -------
        GraphArray
            On disk: what :meth:`GraphArray.load` gives. Estimators train from it in
            little memory, with the same result as from one in memory. Rows that are
            selected, as by a splitter, are copied into memory; ``GraphWriter`` makes
            a file of them.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            If a structure cannot be used, naming its index.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from skmatgnn.datasets import make_crystals
        >>> from skmatgnn.graphs import StructureToGraph
        >>> crystals = make_crystals(20, random_state=0).data
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "crystals.graphs")
        ...     len(StructureToGraph().transform_to_file(iter(crystals), path))
        20
        """
        settings = self._settings()
        structures = X if isinstance(X, Iterator) else StructureArray.from_structures(X)
        with GraphWriter(path) as writer:
            for part in self._parts(structures, settings):
                writer.append(part)
        return GraphArray.load(path)

    def _parts(
        self, structures: StructureArray | Iterator, settings: GraphSettings
    ) -> Iterator[GraphArray]:
        device = self._search_device(structures)
        chunks = _chunks(structures, on_gpu=device != "cpu")
        build = partial(_build, settings=settings, dtype=self.dtype, device=device)
        tasks = (delayed(build)(chunk, start) for start, chunk in chunks)
        n_jobs = self.n_jobs if device == "cpu" else 1
        parts = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
        total = None if isinstance(structures, Iterator) else len(structures)
        bar = tqdm(
            total=total, desc="graphs", unit="structure", disable=not self.verbose
        )
        with closing(parts), bar:
            for part in parts:
                bar.update(len(part))
                yield part

    def _search_device(self, structures: StructureArray | Iterator) -> str:
        device = resolve_device(self.device)
        if isinstance(structures, StructureArray) and len(structures) < MIN_ON_GPU:
            return "cpu"
        return device

    def _settings(self) -> GraphSettings:
        self._validate_params()  # transform works without fit
        resolve_device(self.device)
        return GraphSettings(
            cutoff=float(self.cutoff),
            max_neighbors=self.max_neighbors and int(self.max_neighbors),
            three_body_cutoff=self.three_body_cutoff and float(self.three_body_cutoff),
            shell_tolerance=float(self.shell_tolerance),
        )


def ensure_graphs(X: Any, transformer: StructureToGraph) -> GraphArray:
    """Make graphs of structures, and let graphs pass.

    Parameters
    ----------
    X : GraphArray, sequence of graphs, also of DGL, or sequence of structures
    transformer : StructureToGraph
        Makes graphs of structures.

    Returns
    -------
    GraphArray

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If X is empty, mixed, or holds anything else.
    """
    if isinstance(X, GraphArray):
        if len(X) == 0:
            raise InvalidValueError("X is empty; at least one graph is needed.")
        return X
    if not isinstance(X, StructureArray) and _holds_graphs(X):
        return GraphArray.concatenate(list(X))
    if not isinstance(X, StructureArray) and any(map(is_dgl_graph, X)):
        return GraphArray.from_dgl(
            list(X),
            cutoff=transformer.cutoff,
            max_neighbors=transformer.max_neighbors,
            three_body_cutoff=transformer.three_body_cutoff,
            shell_tolerance=transformer.shell_tolerance,
        )
    return transformer.transform_to_packed(X)


def _holds_graphs(X: Any) -> bool:
    try:
        return any(isinstance(item, GraphArray) for item in X)
    except TypeError:
        raise InvalidTypeError(
            f"X must be a sequence of structures or graphs; got {type(X).__name__}."
        ) from None


def _chunks(
    structures: StructureArray | Iterator, *, on_gpu: bool
) -> Iterator[tuple[int, StructureArray]]:
    """Cut structures into chunks, each with the index of its first."""
    if isinstance(structures, StructureArray):
        yield from _slices(structures, on_gpu=on_gpu)
        return
    size = GPU_ITERATOR_CHUNK if on_gpu else CHUNK
    for start in count(0, size):
        items = list(islice(structures, size))
        if not items:
            return
        yield start, StructureArray.from_structures(items, first_index=start)


def _slices(
    structures: StructureArray, *, on_gpu: bool
) -> Iterator[tuple[int, StructureArray]]:
    start, ptr = 0, structures.atom_ptr
    while start < len(structures):
        stop = start + CHUNK
        if on_gpu:
            full = np.searchsorted(ptr, ptr[start] + GPU_ATOMS, side="right") - 1
            stop = min(start + GPU_CHUNK, max(start + 1, int(full)))
        yield start, structures[start:stop]
        start = stop


def _build(
    structures: StructureArray,
    first_index: int,
    *,
    settings: GraphSettings,
    dtype: str,
    device: str,
) -> GraphArray:
    edges = find_edges(
        structures,
        cutoff=settings.cutoff,
        max_neighbors=settings.max_neighbors,
        shell_tolerance=settings.shell_tolerance,
        first_index=first_index,
        device=device,
    )
    return _pack(structures, edges, settings, dtype)


def _pack(
    structures: StructureArray, edges: Edges, settings: GraphSettings, dtype: str
) -> GraphArray:
    device = edges.receiver.device
    n_atoms = structures.n_atoms
    degree = torch.bincount(edges.receiver, minlength=int(n_atoms.sum()))
    edge_ptr = row_pointers(degree.cpu().numpy())
    starts = np.stack([structures.atom_ptr[:-1], edge_ptr[structures.atom_ptr[:-1]]])
    of_atoms = torch.from_numpy(np.repeat(starts, n_atoms, axis=1)).to(device)
    first_atom, first_edge = (x.index_select(0, edges.receiver) for x in of_atoms)
    vector = torch.stack(edges.vector, dim=1).to(getattr(torch, dtype))
    return GraphArray(
        node_ptr=structures.atom_ptr,
        atomic_numbers=structures.atomic_numbers,
        edge_ptr=edge_ptr,
        bond_count=np.diff(edge_ptr).astype(np.int32),
        sender=(edges.sender - first_atom).int().cpu().numpy(),
        reverse=(edges.reverse - first_edge).int().cpu().numpy(),
        displacement=vector.cpu().numpy(),
        settings=settings,
    ).with_three_body_cutoff(settings.three_body_cutoff)
