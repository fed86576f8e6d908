"""Graph files that are larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs._array import GraphArray, GraphSettings
from skmatgnn.utils.array_writer import ArrayWriter
from skmatgnn.utils.validation import describe

__all__ = ["GraphWriter"]


class GraphWriter:
    """Write graphs to one file, part by part; for use in a ``with`` statement.

    The file is the one that :meth:`GraphArray.save` writes. It appears, and replaces
    an old one, when the block ends; if the block fails nothing changes.

    Parameters
    ----------
    path : str or Path
        File to write.

    See Also
    --------
    StructureToGraph.transform_to_file : Makes graphs and writes them.

    Examples
    --------
    A part of a large file, without loading it:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skmatgnn.datasets import make_crystals
    >>> from skmatgnn.graphs import GraphArray, GraphWriter, StructureToGraph
    >>> X = make_crystals(20, random_state=0).data
    >>> with TemporaryDirectory() as folder:
    ...     large, small = Path(folder, "large.graphs"), Path(folder, "small.graphs")
    ...     graphs = StructureToGraph().transform_to_file(X, large)
    ...     with GraphWriter(small) as writer:
    ...         for start in range(0, 10, 5):
    ...             writer.append(graphs[start : start + 5])
    ...     len(GraphArray.load(small, memory_map=False))
    10
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.settings: GraphSettings | None = None
        self._arrays = ArrayWriter(path)
        self._n_graphs = self._n_atoms = self._n_edges = 0

    def __len__(self) -> int:
        """Return the number of graphs so far."""
        return self._n_graphs

    def __enter__(self) -> Self:
        self._arrays.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._arrays.__exit__()

    def append(self, graphs: GraphArray) -> None:
        """Add graphs at the end.

        Parameters
        ----------
        graphs : GraphArray

        Raises
        ------
        InvalidTypeError
            If it is anything else.
        InvalidValueError
            If they were made otherwise than those before.
        """
        if not isinstance(graphs, GraphArray):
            raise InvalidTypeError(f"Expected a GraphArray; got {describe(graphs)}.")
        if self.settings is None:
            self.settings = graphs.settings
            for name in ("node_ptr", "edge_ptr"):
                self._arrays.append(name, np.zeros(1, dtype=np.int64))
        self._require_alike(graphs)
        self._arrays.append("node_ptr", graphs.node_ptr[1:] + self._n_atoms)
        self._arrays.append("edge_ptr", graphs.edge_ptr[1:] + self._n_edges)
        for name in (
            *("atomic_numbers", "bond_count", "sender"),
            *("reverse", "displacement"),
        ):
            self._arrays.append(name, getattr(graphs, name))
        self._n_graphs += len(graphs)
        self._n_atoms += int(graphs.node_ptr[-1])
        self._n_edges += int(graphs.edge_ptr[-1])
        self._dtype = graphs.displacement.dtype

    def _require_alike(self, graphs: GraphArray) -> None:
        if graphs.settings != self.settings:
            raise InvalidValueError(
                f"The graphs from index {len(self)} on were made with "
                f"{graphs.settings}, those before with {self.settings}. Make all "
                "graphs alike."
            )
        came = graphs.displacement.dtype
        if len(self) and came != self._dtype:
            raise InvalidValueError(
                f"The graphs from index {len(self)} on have bond vectors of {came}, "
                f"those before of {self._dtype}. Make all graphs alike."
            )

    def _commit(self) -> None:
        if self.settings is None:
            raise InvalidValueError(
                f"{self.path} was not written: no graphs were given. At least one part "
                "is needed."
            )
        self._arrays.commit(GraphArray.file_metadata(self.settings))
