"""What all estimators on crystal graphs share: fit, warm start, prediction."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import nn

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.estimators._element_table import element_table
from skmatgnn.graphs import GraphArray, StructureToGraph, ensure_graphs
from skmatgnn.nets import (
    BestModel,
    CalibrateNorm,
    EarlyStop,
    GraphDataset,
    GraphNet,
    HoldOut,
    OneCycle,
    ProgressBar,
)
from skmatgnn.preprocessing import StructureArray
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import Interval, StrOptions, check_sample_weight
from skmatgnn.utils.validation import (
    describe,
    ensure_groups,
    ensure_object_array,
    require_consistent_length,
    require_usable_weights,
)

__all__ = ["COMMON_CONSTRAINTS", "BaseGraphEstimator"]

MAX_SEED = np.iinfo(np.int32).max


COMMON_CONSTRAINTS = {
    "cutoff": [Interval(Real, 0, None, closed="neither")],
    "max_neighbors": [Interval(Integral, 1, None, closed="left"), None],
    "element_features": [StrOptions({"cgcnn", "one_hot"}), "array-like"],
    "norm": [StrOptions({"layer", "batch"})],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "lr_schedule": [StrOptions({"one_cycle", "constant"})],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
    "device": [str, torch.device],
    "precision": [StrOptions({"auto", "float32", "tf32", "bfloat16", "float64"})],
    "warm_start": ["boolean"],
    "callbacks": [list, None],
    "net_params": [dict, None],
    "n_jobs": [Integral, None],
    "verbose": ["verbose"],
}


class BaseGraphEstimator(DocLinkMixin, BaseEstimator):
    """Base of the estimators on crystal graphs.

    Subclasses name their network in ``_module``, its parameters in
    ``_architecture``, and say how targets are encoded and outputs decoded.
    """

    _module: ClassVar[type[nn.Module]]
    _architecture: ClassVar[tuple[str, ...]]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        tags.non_deterministic = self.random_state is None
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def _to_graphs(self, X: Any, *, reset: bool) -> GraphArray:
        transformer = StructureToGraph(
            cutoff=self.cutoff,
            max_neighbors=self.max_neighbors,
            dtype="float64" if self.precision == "float64" else "float32",
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        graphs = ensure_graphs(_ensure_samples(X), transformer)
        if not hasattr(self, "three_body_cutoff"):
            graphs = graphs.without_angles()
        elif graphs.settings.three_body_cutoff is None:
            graphs = graphs.with_three_body_cutoff(self.three_body_cutoff)
        table = element_table(self.element_features)
        _require_known_elements(graphs, table)
        if reset:
            self._element_table = table
        else:
            self._require_same_settings(graphs)
        return graphs

    def _require_same_settings(self, graphs: GraphArray) -> None:
        expected, came = asdict(self.graph_settings_), asdict(graphs.settings)
        different = [name for name in expected if came[name] != expected[name]]
        if different:
            details = ", ".join(
                f"{name}={came[name]} instead of {expected[name]}" for name in different
            )
            raise InvalidValueError(
                f"X has graphs with {details}, which the model was trained on. Give "
                "fit and predict structures, or graphs of the same StructureToGraph."
            )

    def _dataset(
        self, X: Any, y: Any, sample_weight: Any, groups: Any = None, **known: Any
    ) -> GraphDataset:
        """Check everything that a sample has, then build the graphs."""
        reset = not hasattr(self, "net_")
        checked = self._check_targets(y)
        X = _ensure_samples(X)
        require_consistent_length(X=X, y=checked)
        groups = None if groups is None else ensure_groups(groups, len(X))
        weight = _normalised_weight(sample_weight, checked)
        targets = self._encode_targets(checked, weight, reset=reset, **known)
        return GraphDataset(self._to_graphs(X, reset=reset), targets, weight, groups)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, groups: Any
    ) -> BaseGraphEstimator:
        before = self._prepare_warm_start() if self._continues() else None
        if before is None:
            self._forget()
        dataset = self._dataset(X, y, sample_weight, groups)
        net = self._build_net(dataset)
        if before is not None:
            net.module_.load_state_dict(before)
        net.partial_fit(dataset)
        self.net_ = net  # only now: what is interrupted at once is not fitted
        return self._finish(dataset)

    def _partial_fit(
        self, X: Any, y: Any, sample_weight: Any, **known: Any
    ) -> BaseGraphEstimator:
        dataset = self._dataset(X, y, sample_weight, **known)
        net = getattr(self, "net_", None) or self._build_net(dataset)
        net.lr_schedule = "constant"
        net.train_split = None
        net.calibrate_norm = False
        with net.epochs(1):
            net.partial_fit(dataset)
        self.net_ = net
        return self._finish(dataset)

    def _continues(self) -> bool:
        return self.warm_start and hasattr(self, "net_")

    def _forget(self) -> None:
        for name in ("net_", "target_scaler_", "graph_settings_"):
            self.__dict__.pop(name, None)

    def _prepare_warm_start(self) -> dict[str, torch.Tensor]:
        if self._signature() != self.signature_:
            changed = [
                name
                for name, value in self._signature().items()
                if value != self.signature_[name]
            ]
            raise InvalidValueError(
                f"warm_start cannot continue: {', '.join(changed)} changed since the "
                "first fit, so the weights do not fit. Set warm_start=False, or change "
                "the parameters back."
            )
        state = self.net_.module_.state_dict()
        return {key: value.detach().clone() for key, value in state.items()}

    def _signature(self) -> dict[str, Any]:
        names = ("cutoff", "max_neighbors", *self._architecture)
        values = {name: getattr(self, name) for name in names}
        features = self.element_features
        values["element_features"] = (
            features
            if isinstance(features, str)
            else sha256(element_table(features).tobytes()).hexdigest()
        )
        return values

    def _build_net(self, dataset: GraphDataset) -> GraphNet:
        rng = check_random_state(self.random_state)
        seed, split_seed = (int(s) for s in rng.randint(MAX_SEED, size=2))
        device = _resolve_device(self.device)
        table = torch.tensor(self._element_table, dtype=torch.float32)
        module = {f"module__{name}": getattr(self, name) for name in self._architecture}
        hold_out = HoldOut(self.validation_fraction, split_seed)
        arguments: dict[str, Any] = {
            "module__element_table": table,
            "module__n_outputs": self.n_outputs_,
            "module__cutoff": float(dataset.graphs.settings.cutoff),
            **module,
            **self._criterion(),
            "optimizer": torch.optim.AdamW,
            "optimizer__weight_decay": self.weight_decay,
            "lr": self.lr,
            "lr_schedule": self.lr_schedule,
            "max_epochs": self.max_epochs,
            "batch_size": min(self.batch_size, len(dataset)),
            "train_split": hold_out if self.early_stopping else None,
            "callbacks": self._callbacks(),
            "device": device,
            "precision": _resolve_precision(self.precision, device),
            "seed": seed,
            "verbose": 0,
        }
        if device.startswith("cuda") and "optimizer" not in (self.net_params or {}):
            arguments["optimizer__fused"] = True  # AdamW has it, others may not
        net = GraphNet(self._module, **{**arguments, **(self.net_params or {})})
        # torch draws weights from the global generator before ours replaces them
        with torch.random.fork_rng(devices=[]):
            return net.initialize()

    def _callbacks(self) -> list:
        callbacks: list = [
            ("best_model", BestModel()),  # restores before statistics are measured
            ("calibrate_norm", CalibrateNorm()),
            ("one_cycle", OneCycle()),
        ]
        if self.early_stopping:
            callbacks.append(("early_stop", EarlyStop(self.n_iter_no_change)))
        if self.verbose:
            callbacks.append(("progress", ProgressBar()))
        return callbacks + _require_callbacks(self.callbacks or [])

    def _finish(self, dataset: GraphDataset) -> BaseGraphEstimator:
        self.graph_settings_ = dataset.graphs.settings
        self.signature_ = self._signature()
        self.device_ = self.net_.device
        keep = ("epoch", "train_loss", "valid_loss", "dur")
        self.history_ = [
            {key: row[key] for key in keep if key in row} for row in self.net_.history
        ]
        self.n_epochs_ = len(self.history_)
        self.best_epoch_ = self.net_.best_epoch_
        return self

    def _apply(self, X: Any, function: str) -> np.ndarray:
        check_is_fitted(self)
        graphs = self._to_graphs(X, reset=False)
        module = self.net_.module_
        apply = module if function == "forward" else getattr(module, function)
        return self.net_.apply(GraphDataset(graphs), apply)

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


def _ensure_samples(X: Any) -> GraphArray | StructureArray:
    """Pack structures, or graphs in any container, of which NumPy unpacks none."""
    if hasattr(X, "iloc") or isinstance(X, list | tuple | np.ndarray):
        X = ensure_object_array(X, what="structures or graphs", single=())
        if any(isinstance(item, GraphArray) for item in X):
            X = _join_graphs(X)
    if not isinstance(X, GraphArray):
        return StructureArray.from_structures(X)
    if len(X) == 0:
        raise InvalidValueError("X is empty; at least one graph is needed.")
    return X


def _join_graphs(items: np.ndarray) -> GraphArray:
    graphs = GraphArray.concatenate(items)
    for index, item in enumerate(items):
        if len(item) != 1:
            raise InvalidValueError(
                f"Expected one graph at index {index}; got a GraphArray of {len(item)}."
                " Join GraphArrays with GraphArray.concatenate."
            )
    return graphs


def _require_known_elements(graphs: GraphArray, table: np.ndarray) -> None:
    numbers = graphs.atomic_numbers.astype(int)
    known = np.isfinite(table).all(axis=1)
    unknown = (numbers >= len(table)) | ~known[np.minimum(numbers, len(table) - 1)]
    if unknown.any():
        atom = int(np.argmax(unknown))
        index = int(np.searchsorted(graphs.node_ptr, atom, side="right")) - 1
        raise InvalidValueError(
            f"The structure at index {index} has the element of atomic number "
            f"{numbers[atom]}, for which the table of element features has no values. "
            "Remove such structures, or set element_features='one_hot'."
        )


def _require_callbacks(callbacks: list) -> list:
    for index, given in enumerate(callbacks):
        callback = given[-1] if isinstance(given, tuple) and given else given
        is_class = isinstance(callback, type) and issubclass(callback, Callback)
        if not (is_class or isinstance(callback, Callback)):
            raise InvalidTypeError(
                "callbacks must hold skorch callbacks, or tuples of a name and one; "
                f"got {describe(given)} at index {index}."
            )
    return callbacks


def _normalised_weight(sample_weight: Any, y: np.ndarray) -> np.ndarray | None:
    if sample_weight is None:
        return None
    require_usable_weights(sample_weight, len(y))
    weight = check_sample_weight(
        sample_weight, y, dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():
        raise InvalidValueError(
            "Sample weights must contain at least one non-zero number; all are zero."
        )
    return weight / weight.mean()


def _resolve_device(device: str | torch.device) -> str:
    if str(device) == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise InvalidValueError(
            f"device must be 'auto' or a torch device such as 'cpu' or 'cuda:0'; got "
            f"{device!r}."
        ) from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise InvalidValueError(
            f"device={device!r} was asked for, but torch sees no CUDA device. Use "
            "device='auto', or install a CUDA build of torch."
        )
    return str(device)


def _resolve_precision(precision: str, device: str) -> str:
    if precision != "auto":
        return precision
    return "tf32" if device.startswith("cuda") else "float32"
