"""What the MODNet estimators share: features, ranking, scaling, ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from os import PathLike
from pickle import PicklingError
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skmatgnn.errors import InvalidValueError
from skmatgnn.estimators._duplicates import composition_codes, row_codes
from skmatgnn.estimators._net_base import (
    TRAINING_CONSTRAINTS,
    BaseNetEstimator,
    Samples,
)
from skmatgnn.estimators._tables import FeatureScaler
from skmatgnn.feature_selection import RelevanceRedundancySelector
from skmatgnn.featurizers import CompositionFeatures
from skmatgnn.nets import TableDataset
from skmatgnn.nets._ensemble import bootstrap_weights
from skmatgnn.nn import MODNet
from skmatgnn.nn.models.modnet import ACTIVATIONS
from skmatgnn.preprocessing._formula import parse_compositions
from skmatgnn.utils._seeds import MAX_SEED
from skmatgnn.utils._sklearn import HasMethods, Interval, StrOptions
from skmatgnn.utils.digest import digest

if TYPE_CHECKING:
    from joblib import Memory

    from skmatgnn._typing import FloatArray, RandomState

__all__ = ["ARCHITECTURE", "MODNET_CONSTRAINTS", "N_NEURONS", "BaseMODNet"]

N_NEURONS = ((256,), (128,), (64,), ())
ARCHITECTURE = ("n_neurons", "activation")
MODNET_CONSTRAINTS: dict = {
    "featurizer": [
        StrOptions({"composition"}),
        HasMethods(["fit", "transform"]),
        None,
    ],
    "n_features": [Interval(Integral, 1, None, closed="left"), None],
    "n_neurons": ["array-like"],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "feature_scaling": [StrOptions({"standard", "minmax"})],
    "n_models": [Interval(Integral, 1, None, closed="left")],
    "bootstrap": ["boolean"],
    "loss": [StrOptions({"auto", "l1", "mse", "huber", "cross_entropy"})],
    **TRAINING_CONSTRAINTS,
    "memory": [str, HasMethods("cache"), None],
    "n_jobs": [Integral, None],
}


class BaseMODNet(BaseNetEstimator):
    """Base of the MODNet estimators: features, ranking, scaling, ensemble."""

    _module = MODNet
    _architecture: ClassVar[tuple[str, ...]] = ARCHITECTURE
    _prediction_batch_size = 4096
    _chunk_size = 2**14  # all 269 features of which are 35 MB
    _also_saved = ("_n_columns",)
    _learnt: ClassVar[tuple[str, ...]] = (
        *("net_", "target_scaler_", "target_range_", "featurizer_", "ranking_"),
        *("feature_scaler_", "_given_featurizer"),
    )
    _discrete_target: ClassVar[bool]

    _parameter_constraints: ClassVar[dict] = MODNET_CONSTRAINTS

    def __init__(
        self,
        *,
        featurizer: Any = "composition",
        n_features: int | None = None,
        feature_scaling: str = "standard",
        n_neurons: Sequence[Sequence[int]] = N_NEURONS,
        activation: str = "silu",
        n_models: int = 5,
        bootstrap: bool = False,
        loss: str = "auto",
        max_epochs: int = 100,
        batch_size: int = 64,
        lr: float = 5e-3,
        lr_schedule: str = "one_cycle",
        weight_decay: float = 1e-5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 50,
        random_state: RandomState = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        warm_start: bool = False,
        checkpoint_dir: str | PathLike | None = None,
        callbacks: list | None = None,
        net_params: dict | None = None,
        memory: str | Memory | None = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.featurizer = featurizer
        self.n_features = n_features
        self.n_neurons = n_neurons
        self.activation = activation
        self.feature_scaling = feature_scaling
        self.n_models = n_models
        self.bootstrap = bootstrap
        self.loss = loss
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.net_params = net_params
        self.memory = memory
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.featurizer is None
        tags.input_tags.allow_nan = self.featurizer is None
        tags.input_tags.string = self.featurizer == "composition"
        return tags

    def _ensure_samples(self, X: Any) -> FloatArray:
        reset = not hasattr(self, "net_")
        numbers = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
        if (self._own_featurizer() if reset else self._fitted_featurizer()) is None:
            return validate_data(self, X, reset=reset, **numbers)
        if reset:
            self._given_featurizer = clone(self._own_featurizer())
            self.featurizer_ = clone(self._own_featurizer()).fit(X)
        table = check_array(self.featurizer_.transform(X), **numbers)
        if not reset and table.shape[1] != self._n_columns:
            raise InvalidValueError(
                f"The featurizer made {table.shape[1]} features of X, but "
                f"{self._n_columns} in fit. Use one that has the same for all samples."
            )
        return table

    def _forget(self) -> None:
        if hasattr(self, "ranking_") and self._fitted_featurizer() is None:
            for name in ("n_features_in_", "feature_names_in_"):  # of a table
                self.__dict__.pop(name, None)
        super()._forget()

    def _own_featurizer(self) -> Any:
        return CompositionFeatures() if _is_name(self.featurizer) else self.featurizer

    def _fitted_featurizer(self) -> Any:
        return getattr(self, "featurizer_", None)

    def _equal_samples(
        self, given: Any, X: Any, weight: np.ndarray | None
    ) -> np.ndarray | None:
        if not self.early_stopping:
            return None
        if _is_name(self.featurizer):
            codes = composition_codes(parse_compositions(given))
        else:
            codes = row_codes(X)
        used = codes if weight is None else codes[weight > 0]
        return codes if len(np.unique(used)) < len(used) else None

    def _prepare_samples(self, samples: Samples) -> Samples:
        """Leave out samples that weigh nothing: they must not rank features either."""
        if samples.weight is None or samples.weight.all():
            return samples
        used = np.flatnonzero(samples.weight)
        weight, y = samples.weight[used], samples.y[used]
        _require_known(y, every_column=not hasattr(self, "net_"))
        groups = None if samples.groups is None else samples.groups[used]
        weight = weight / weight.mean()
        return Samples(samples.X[used], y, weight, groups, used)

    def _make_dataset(
        self,
        X: FloatArray,
        target: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        *,
        reset: bool,
    ) -> TableDataset:
        if target is not None:  # predictions must not use up a generator
            rng = check_random_state(self.random_state)
            ranking_seed, bootstrap_seed = rng.randint(MAX_SEED, size=4)[2:]
        if reset:
            self._n_columns = X.shape[1]
            self.ranking_ = self._rank(X, target, int(ranking_seed))
            scaler = FeatureScaler(self.feature_scaling)
            self.feature_scaler_ = scaler.fit(X[:, self.ranking_], weight)
        if target is not None and self.bootstrap and self.n_models > 1:
            state = np.random.RandomState(bootstrap_seed)
            weight = bootstrap_weights(len(X), self.n_models, weight, state)
        table = self.feature_scaler_.transform(X[:, self.ranking_])
        return TableDataset(table, target, weight, groups)

    def _rank(self, X: FloatArray, target: np.ndarray | None, seed: int) -> np.ndarray:
        if self.n_features is not None:
            selector = RelevanceRedundancySelector(
                n_features=self.n_features,
                discrete_target=self._discrete_target,
                memory=self.memory,
                n_jobs=self.n_jobs,
                random_state=seed,
                verbose=self.verbose,
            )
            ranking = selector.fit(X, target).ranking_
            if len(ranking):
                return ranking
        # few rows have too little information to rank anything by it
        low, high = np.where(np.isnan(X), -np.inf, X), np.where(np.isnan(X), np.inf, X)
        varying = np.flatnonzero(low.max(axis=0) > high.min(axis=0))
        columns = varying if len(varying) else np.arange(X.shape[1])
        return columns[: self.n_features]

    def _changed_since_fit(self) -> list[str]:
        # a loaded one has only the fitted featurizer
        before = self.__dict__.get("_given_featurizer", self._fitted_featurizer())
        same = _hash(self._own_featurizer()) == _hash(before)
        return [*([] if same else ["featurizer"]), *super()._changed_since_fit()]

    def _signature(self) -> dict[str, Any]:
        return {
            **super()._signature(),
            "n_models": self.n_models,
            "n_features": self.n_features,
            "feature_scaling": self.feature_scaling,
        }

    def _module_params(self, dataset: TableDataset) -> dict[str, Any]:
        return {"n_features": dataset.table.shape[1], "n_members": self.n_models}

    def get_ranked_features(self) -> np.ndarray:
        """Name the selected features, best first.

        Returns
        -------
        ndarray of shape (n_selected,), dtype object
            As the featurizer, or the frame that ``fit`` saw, names them; ``x0``,
            ``x1`` and so on where nobody does.
        """
        check_is_fitted(self)
        featurizer = getattr(self, "featurizer_", None)
        if featurizer is not None and hasattr(featurizer, "get_feature_names_out"):
            names = featurizer.get_feature_names_out()
        else:
            default = [f"x{i}" for i in range(self._n_columns)]
            names = getattr(self, "feature_names_in_", default)
        return np.asarray(names, dtype=object)[self.ranking_]

    def _members(self, X: Any) -> np.ndarray:
        """Give the outputs of all members, shape (n, n_models, n_outputs)."""
        outputs = self._apply(X, "forward")
        return outputs.reshape(len(outputs), -1, self.n_outputs_)

    @property
    def _gives_std(self) -> bool:
        return self.net_.module_.n_members > 1

    def _require_several(self) -> None:
        check_is_fitted(self)
        if not self._gives_std:
            raise InvalidValueError(
                "return_std=True needs an ensemble, but the model was trained with "
                "n_models=1. Set n_models to 5, say, and fit again."
            )


def _is_name(featurizer: Any) -> bool:
    return isinstance(featurizer, str)


def _hash(featurizer: Any) -> str:
    """Hash the parameters of a featurizer; its class, where one is a local function."""
    try:
        return digest(featurizer)
    except (PicklingError, AttributeError, TypeError):
        return type(featurizer).__name__


def _require_known(y: np.ndarray, *, every_column: bool) -> None:
    """Reject targets of which nothing is known in the samples that count."""
    if y.ndim == 1:
        return
    empty = np.isnan(y).all(axis=0)
    if empty.all() or (empty.any() and every_column):
        raise InvalidValueError(
            f"Input y contains NaN only in column {int(np.argmax(empty))}, once the "
            "samples of sample_weight zero are left out: no value is known. Drop that "
            "column, or give samples that know it a weight."
        )
