"""What all estimators on crystal graphs share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch

from skmatgnn.errors import InvalidValueError
from skmatgnn.estimators._chunks import in_chunks
from skmatgnn.estimators._element_table import element_signature, element_table
from skmatgnn.estimators._net_base import (
    DEVICES_CONSTRAINT,
    TRAINING_CONSTRAINTS,
    BaseNetEstimator,
)
from skmatgnn.estimators._transfer import TRANSFER_CONSTRAINTS
from skmatgnn.graphs import (
    GraphArray,
    GraphSettings,
    StructureToGraph,
    ensure_graphs,
    is_dgl_graph,
)
from skmatgnn.graphs._device import resolve_device
from skmatgnn.nets import GraphDataset
from skmatgnn.nn import ALIGNN
from skmatgnn.preprocessing import StructureArray
from skmatgnn.utils._sklearn import Interval, StrOptions
from skmatgnn.utils.validation import ensure_object_array

__all__ = ["COMMON_CONSTRAINTS", "BaseGraphEstimator", "ensure_crystals"]

COMMON_CONSTRAINTS = {
    "cutoff": [Interval(Real, 0, None, closed="neither")],
    "max_neighbors": [Interval(Integral, 1, None, closed="left"), None],
    "element_features": [StrOptions({"cgcnn", "one_hot"}), "array-like"],
    "norm": [StrOptions({"layer", "batch"})],
    **TRAINING_CONSTRAINTS,
    **TRANSFER_CONSTRAINTS,
    "n_devices": DEVICES_CONSTRAINT,
    "n_jobs": [Integral, None],
}


class BaseGraphEstimator(BaseNetEstimator):
    """Base of the estimators on crystal graphs.

    Subclasses name their network in ``_module``, its kind in ``_trunk``, its parameters
    in ``_architecture``, and say how targets are encoded and outputs decoded.
    """

    _learnt: ClassVar[tuple[str, ...]] = ("net_", "target_scaler_", "graph_settings_")
    _also_saved = ("_element_table", "_inherited")
    _chunk_size = 2**14  # of 30 atoms, they are about 150 MB

    def _ensure_samples(self, X: Any) -> GraphArray | StructureArray:
        return ensure_crystals(X, self._pack_dgl)

    def _pack_dgl(self, graphs: Any) -> GraphArray:
        return GraphArray.from_dgl(
            graphs,
            cutoff=float(self._setting("cutoff")),
            max_neighbors=self._setting("max_neighbors"),
            angles=self._reads_angles(),
        )

    def _to_graphs(self, X: Any, *, reset: bool) -> GraphArray:
        # a fitted network stays where it was trained
        device = resolve_device(self.device) if reset else str(self.net_.device)
        transformer = StructureToGraph(
            cutoff=self._setting("cutoff"),
            max_neighbors=self._setting("max_neighbors"),
            dtype="float64" if self.precision == "float64" else "float32",
            n_jobs=self.n_jobs,
            device=device if device.startswith("cuda") else "cpu",
            verbose=self.verbose,
        )
        graphs = ensure_graphs(X, transformer)
        if not self._reads_angles():
            graphs = graphs.without_angles()
        elif graphs.settings.three_body_cutoff is None:
            cutoff = self._setting("three_body_cutoff")
            graphs = graphs.with_three_body_cutoff(cutoff)
        table = element_table(self._setting("element_features"))
        _require_known_elements(graphs, table)
        if reset:
            self._element_table = table
        trained = getattr(self, "_source", None) if reset else self
        if trained is not None:
            self._require_same_settings(graphs, trained.graph_settings_)
        return graphs

    def _reads_angles(self) -> bool:
        return issubclass(self._trunk, ALIGNN)

    def _require_same_settings(
        self, graphs: GraphArray, settings: GraphSettings
    ) -> None:
        expected, came = asdict(settings), asdict(graphs.settings)
        different = [name for name in expected if came[name] != expected[name]]
        if different:
            details = ", ".join(
                f"{name}={came[name]} instead of {expected[name]}" for name in different
            )
            raise InvalidValueError(
                f"X has graphs with {details}, which the model was trained on. Give "
                "fit and predict structures, or graphs of the same StructureToGraph."
            )

    def _make_dataset(
        self,
        X: Any,
        target: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        *,
        reset: bool,
    ) -> GraphDataset:
        return GraphDataset(self._to_graphs(X, reset=reset), target, weight, groups)

    def _signature(self) -> dict[str, Any]:
        return {
            "cutoff": self._setting("cutoff"),
            "max_neighbors": self._setting("max_neighbors"),
            **super()._signature(),
            "element_features": element_signature(self._setting("element_features")),
        }

    @property
    def _inheritable(self) -> tuple[str, ...]:
        angles = ("three_body_cutoff",) if self._reads_angles() else ()
        graph = ("cutoff", "max_neighbors", *angles, "element_features")
        return (*graph, *self._trunk_parameters())

    def _trunk_parameters(self) -> tuple[str, ...]:
        return self._architecture

    def _settings_of_fit(self) -> dict[str, Any]:
        return {
            **self.signature_,
            **asdict(self.graph_settings_),
            "element_features": self._features_of_fit(),
        }

    def _module_params(self, dataset: GraphDataset) -> dict[str, Any]:
        return {
            "element_table": torch.tensor(self._element_table, dtype=torch.float32),
            "cutoff": float(dataset.graphs.settings.cutoff),
        }

    def _finish(self, dataset: GraphDataset) -> Self:
        self.graph_settings_ = dataset.graphs.settings
        return super()._finish(dataset)

    @in_chunks
    def embed(self, X: Any) -> np.ndarray:
        """Compute the pooled graph features that the last layer reads.

        Parameters
        ----------
        X : sequence of structures or graphs

        Returns
        -------
        ndarray of shape (n, d), float64
        """
        return self._apply(X, "embed")


def ensure_crystals(
    X: Any, pack_dgl: Callable[[Any], GraphArray] = GraphArray.from_dgl
) -> GraphArray | StructureArray:
    """Pack structures, or graphs in any container, of which NumPy unpacks none."""
    if hasattr(X, "iloc") or isinstance(X, list | tuple | np.ndarray):
        X = ensure_object_array(X, what="structures or graphs", single=())
        if any(isinstance(item, GraphArray) for item in X):
            X = _join_graphs(X)
        elif any(map(is_dgl_graph, X)):
            X = pack_dgl(X)
    if not isinstance(X, GraphArray):
        return StructureArray.from_structures(X)
    if len(X) == 0:
        raise InvalidValueError("X is empty; at least one graph is needed.")
    return X


def _join_graphs(items: np.ndarray) -> GraphArray:
    graphs = GraphArray.concatenate(list(items))
    for index, item in enumerate(items):
        if len(item) != 1:
            raise InvalidValueError(
                f"Expected one graph at index {index}; got a GraphArray of {len(item)}."
                " Join GraphArrays with GraphArray.concatenate."
            )
    return graphs


def _require_known_elements(graphs: GraphArray, table: np.ndarray) -> None:
    numbers = graphs.atomic_numbers
    known = np.zeros(max(len(table), np.iinfo(numbers.dtype).max + 1), dtype=bool)
    known[: len(table)] = np.isfinite(table).all(axis=1)
    unknown = ~known[numbers]
    if unknown.any():
        atom = int(np.argmax(unknown))
        index = int(np.searchsorted(graphs.node_ptr, atom, side="right")) - 1
        raise InvalidValueError(
            f"The structure at index {index} has the element of atomic number "
            f"{numbers[atom]}, for which the table of element features has no values. "
            "Remove such structures, or set element_features='one_hot'."
        )
