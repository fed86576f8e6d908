"""What all estimators with a network share: fit, warm start, prediction."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from inspect import signature
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import nn

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.estimators._checkpoint import CheckpointMixin
from skmatgnn.estimators._chunks import CHUNK_SIZE
from skmatgnn.estimators._transfer import TransferMixin
from skmatgnn.graphs._device import resolve_device
from skmatgnn.nets import (
    BestModel,
    CalibrateNorm,
    DeviceDataset,
    EarlyStop,
    GradualUnfreezing,
    GraphNet,
    HoldOut,
    OneCycle,
    ProgressBar,
)
from skmatgnn.nets._adamw import OneLaunchAdamW
from skmatgnn.nets._data_parallel import train
from skmatgnn.nets._fine_tuning import STRATEGIES
from skmatgnn.nets._out_of_memory import smaller_batch, unless_out_of_memory
from skmatgnn.nets._shared_state import kept_generator
from skmatgnn.nets._training_record import TrainingRecord, require_writable
from skmatgnn.nets._turns import taking_turns
from skmatgnn.nn.ops import half_products_pay
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._seeds import MAX_SEED
from skmatgnn.utils._sklearn import Interval, StrOptions, check_sample_weight
from skmatgnn.utils.containers import as_tuples
from skmatgnn.utils.units import binary_unit
from skmatgnn.utils.validation import (
    describe,
    ensure_groups,
    require_consistent_length,
    require_usable_weights,
)

__all__ = [
    "DEVICES_CONSTRAINT",
    "TRAINING_CONSTRAINTS",
    "BaseNetEstimator",
    "Samples",
    "normalised_weight",
]

HISTORY = (
    "epoch",
    "train_loss",
    "valid_loss",
    "valid_losses",
    "valid_mae",
    "dur",
)


DEVICES_CONSTRAINT = [Interval(Integral, 1, None, closed="left"), None]
TRAINING_CONSTRAINTS = {
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
    "checkpoint_dir": [str, PathLike, None],
    "callbacks": [list, None],
    "net_params": [dict, None],
    "verbose": ["verbose"],
}


class Samples(NamedTuple):
    """Checked arguments of ``fit``; ``y`` is not encoded yet."""

    X: Any
    y: np.ndarray
    weight: np.ndarray | None
    groups: np.ndarray | None
    rows: np.ndarray | None = None  # of what the user gave, where some were left out


class BaseNetEstimator(TransferMixin, CheckpointMixin, DocLinkMixin, BaseEstimator):
    """Base of the estimators that train a network, whatever its inputs.

    Subclasses name their network in ``_module`` and its parameters in
    ``_architecture``, and implement ``_ensure_samples`` and ``_make_dataset``. They may
    extend ``_prepare_samples`` (what happens to the samples of ``fit``),
    ``_module_params`` (what else the network needs), ``_signature`` and ``_finish``,
    and name in ``_learnt`` what a new fit must forget. A task mixin says how targets
    are encoded and outputs decoded.
    """

    if TYPE_CHECKING:  # attributes of a class, or properties

        @property
        def _module(self) -> type[nn.Module]: ...

        @property
        def _architecture(self) -> tuple[str, ...]: ...

    _learnt: ClassVar[tuple[str, ...]] = ("net_", "target_scaler_")
    _prediction_batch_size: ClassVar[int | None] = None  # that of training
    _chunk_size: ClassVar[int] = CHUNK_SIZE  # samples that are encoded at once

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        tags.non_deterministic = self.random_state is None
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    @abstractmethod
    def _ensure_samples(self, X: Any) -> Any:
        """Check X and give it a length, cheaply."""

    @abstractmethod
    def _make_dataset(
        self,
        X: Any,
        target: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        *,
        reset: bool,
    ) -> DeviceDataset:
        """Make a dataset of what ``_ensure_samples`` gave.

        ``reset`` says that the network is yet to be made, so that everything that it
        depends on is to be learnt.
        """

    def _equal_samples(
        self, given: Any, X: Any, weight: np.ndarray | None
    ) -> np.ndarray | None:
        """Group samples that are to stay together in the split of early stopping.

        Asked where the user gave no groups; ``X`` is what ``_ensure_samples`` made of
        what was ``given``.
        """
        del given, X, weight
        return None

    def _prepare_samples(self, samples: Samples) -> Samples:
        """Change the samples of ``fit`` before targets are scaled."""
        return samples

    def _module_params(self, dataset: Any) -> dict[str, Any]:
        """Arguments of the network beyond ``_architecture`` and ``n_outputs``."""
        del dataset
        return {}

    def _batch_size(self, n_samples: int) -> int:
        return min(self.batch_size, n_samples)

    def _dataset(
        self, X: Any, y: Any, sample_weight: Any, groups: Any = None, **known: Any
    ) -> DeviceDataset:
        """Check everything that a sample has, then build the inputs."""
        reset = not hasattr(self, "net_")
        checked, given = self._check_targets(y), X
        X = self._ensure_samples(given)
        require_consistent_length(X=X, y=checked)
        weight = normalised_weight(sample_weight, checked)
        if groups is None:
            groups = self._equal_samples(given, X, weight)
        else:
            groups = ensure_groups(groups, len(X))
        samples = self._prepare_samples(Samples(X, checked, weight, groups))
        targets = self._encode_targets(samples.y, samples.weight, reset=reset, **known)
        dataset = self._make_dataset(
            samples.X, targets, samples.weight, samples.groups, reset=reset
        )
        dataset.origin = samples.rows
        return dataset

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> Self:
        folder = self._record_folder()
        before = self._prepare_warm_start() if self._continues() else None
        if before is None:
            self._forget()
        with self._transfer(cold=before is None):
            dataset = self._dataset(X, y, sample_weight, groups)
            net = self._trained_net(dataset, before, folder)
        self.net_ = net  # only now: what is interrupted at once is not fitted
        return self._finish(dataset)

    def _trained_net(
        self,
        dataset: DeviceDataset,
        before: dict[str, torch.Tensor] | None,
        folder: Path | None,
    ) -> GraphNet:
        """Train; where a batch is too large for the device, anew with half of it."""
        seeds, size = self._draw_seeds(), self._batch_size(len(dataset))
        while True:
            net = self._start_net(dataset, before, size, seeds)
            if folder is not None:
                name = type(self).__name__
                n_devices = getattr(self, "n_devices", None) or 1
                net.record = TrainingRecord(folder, name, net, dataset, n_devices)
            _, trouble = self._train_once(net, dataset)
            net.record = None
            if not trouble:
                return net
            may_halve = net.batch_size == size  # net_params may have one of its own
            size = smaller_batch(
                net.batch_size,
                trouble,
                doing="training starts again with",
                also=" Set that, or less, to save this attempt.",
                may_halve=may_halve,
            )

    def _record_folder(self) -> Path | None:
        """Make the folder of training states before anything that takes time."""
        if self.checkpoint_dir is None:
            return None
        if self.random_state is None:
            raise InvalidValueError(
                "checkpoint_dir needs a random_state, such as random_state=0: only "
                "then does a fit that is repeated draw the same numbers, and goes on "
                "where the former was stopped."
            )
        return require_writable(self.checkpoint_dir)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, **known: Any) -> Self:
        net = getattr(self, "net_", None)
        with self._transfer(cold=net is None):
            dataset = self._dataset(X, y, sample_weight, **known)
            if net is None:
                size = self._batch_size(len(dataset))
                net = self._start_net(dataset, None, size, self._draw_seeds())
        net.lr_schedule = "constant"
        net.train_split = None
        net.calibrate_norm = False
        with net.epochs(1):
            _, trouble = self._train_once(net, dataset)
        if trouble:
            smaller_batch(net.batch_size, trouble, doing="", may_halve=False)
        self.net_ = net
        return self._finish(dataset)

    def _train_once(self, net: GraphNet, dataset: DeviceDataset) -> tuple[Any, str]:
        n_devices = getattr(self, "n_devices", None)
        return unless_out_of_memory(partial(train, net, dataset, n_devices))

    def _start_net(
        self,
        dataset: DeviceDataset,
        before: dict[str, torch.Tensor] | None,
        batch_size: int,
        seeds: tuple[int, int],
    ) -> GraphNet:
        """Make a net with new weights, those from before, or pretrained ones."""
        net = self._build_net(dataset, batch_size, *seeds)
        if before is not None:
            net.module_.load_state_dict(before)
        elif hasattr(self, "_source"):
            self._start_from_source(net)
        else:
            return net
        if hasattr(self, "fine_tuning"):
            net.fine_tune(STRATEGIES[self.fine_tuning], net.max_epochs)
        return net

    def _continues(self) -> bool:
        return self.warm_start and hasattr(self, "net_")

    def _forget(self) -> None:
        for name in self._learnt:
            self.__dict__.pop(name, None)

    def _prepare_warm_start(self) -> dict[str, torch.Tensor]:
        changed = self._changed_since_fit()
        if changed:
            raise InvalidValueError(
                f"warm_start cannot continue: {', '.join(changed)} changed since the "
                "first fit, so the weights do not fit. Set warm_start=False, or change "
                "the parameters back."
            )
        state = self.net_.module_.state_dict()
        return {key: value.detach().clone() for key, value in state.items()}

    def _changed_since_fit(self) -> list[str]:
        """Name the parameters with which the weights do not fit any more."""
        return [
            name
            for name, value in self._signature().items()
            if value != as_tuples(self.signature_[name])
        ]

    def _signature(self) -> dict[str, Any]:
        """Values that the shapes of the weights depend on."""
        return {name: as_tuples(self._setting(name)) for name in self._architecture}

    def _draw_seeds(self) -> tuple[int, int]:
        rng = check_random_state(self.random_state)
        seed, split_seed = (int(s) for s in rng.randint(MAX_SEED, size=2))
        return seed, split_seed

    def _build_net(
        self, dataset: DeviceDataset, batch_size: int, seed: int, split_seed: int
    ) -> GraphNet:
        module = {
            "n_outputs": self.n_outputs_,
            **self._module_params(dataset),
            **{name: as_tuples(self._setting(name)) for name in self._architecture},
        }
        return self._make_net(module, batch_size, seed=seed, split_seed=split_seed)

    def _make_net(
        self,
        module: dict[str, Any],
        batch_size: int,
        *,
        seed: int = 0,
        split_seed: int = 0,
        precision: str | None = None,
        trained_on: str | None = None,
    ) -> GraphNet:
        """Make a net; ``precision`` is that of a net ``trained_on`` such a device."""
        device = resolve_device(self.device)
        if precision is None or torch.device(device).type != trained_on:
            width = getattr(self._module, "half_width", _no_width)(**module)
            precision = _resolve_precision(self.precision, device, width)
        hold_out = HoldOut(self.validation_fraction, split_seed)
        arguments: dict[str, Any] = {
            **{f"module__{name}": value for name, value in module.items()},
            **self._criterion(),
            "optimizer": torch.optim.AdamW,
            "optimizer__weight_decay": self.weight_decay,
            "lr": self.lr,
            "lr_schedule": self.lr_schedule,
            "max_epochs": self.max_epochs,
            "batch_size": batch_size,
            "train_split": hold_out if self.early_stopping else None,
            "callbacks": self._callbacks(),
            "device": device,
            "precision": precision,
            "seed": seed,
            "verbose": 0,
        }
        own = self.net_params or {}
        if not {"optimizer", "optimizer__foreach"} & own.keys():
            arguments["optimizer__fused"] = True  # AdamW has it, others may not
            if device.startswith("cuda"):
                arguments["optimizer"] = OneLaunchAdamW
        net = GraphNet(self._module, **{**_for_classes_of(own, arguments), **own})
        # torch draws weights from the global generator before ours replaces them
        with kept_generator(), taking_turns(device):
            return net.initialize()

    def _callbacks(self) -> list:
        callbacks: list = [
            ("best_model", BestModel()),  # restores before statistics are measured
            ("calibrate_norm", CalibrateNorm()),
            ("one_cycle", OneCycle()),
            ("unfreezing", GradualUnfreezing()),
        ]
        if self.early_stopping:
            callbacks.append(("early_stop", EarlyStop(self.n_iter_no_change)))
        if self.verbose:
            callbacks.append(("progress", ProgressBar()))
        return callbacks + _require_callbacks(self.callbacks or [])

    def _finish(self, dataset: Any) -> Self:
        del dataset
        self.signature_ = self._signature()
        self.device_ = self.net_.device
        self.history_ = [
            {key: row[key] for key in HISTORY if key in row}
            for row in self.net_.history
        ]
        self.n_epochs_ = len(self.history_)
        self.best_epoch_ = self.net_.best_epoch_
        return self

    def _apply(self, X: Any, function: str) -> np.ndarray:
        check_is_fitted(self)
        dataset = self._make_dataset(self._ensure_samples(X), reset=False)
        module = self.net_.module_
        apply = module if function == "forward" else getattr(module, function)
        return self.net_.apply(dataset, apply, self._prediction_batch_size)


def normalised_weight(sample_weight: Any, y: np.ndarray) -> np.ndarray | None:
    """Check sample weights and scale them to a mean of one.

    Parameters
    ----------
    sample_weight : array-like of shape (n,), float or None
    y : ndarray of shape (n, ...)

    Returns
    -------
    ndarray of shape (n,) or None

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If a weight cannot be used, or all are zero.
    """
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
    weight = weight / binary_unit(weight.max())  # the sum of huge ones overflows
    return weight / weight.mean()


def _for_classes_of(own: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a criterion or an optimizer of the user's does not take."""
    left = dict(arguments)
    for kind in {"criterion", "optimizer"} & own.keys():
        ready = isinstance(own[kind], nn.Module)
        parameters = {} if ready else signature(own[kind]).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            continue
        for name in arguments:
            if name.startswith(f"{kind}__") and name.split("__")[1] not in parameters:
                del left[name]
    return left


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


def _resolve_precision(precision: str, device: str, width: int) -> str:
    if precision != "auto":
        return precision
    if torch.device(device).type == "cpu" and half_products_pay(width):
        return "bfloat16"
    return "tf32" if device.startswith("cuda") else "float32"


def _no_width(**_: object) -> int:
    return 0
