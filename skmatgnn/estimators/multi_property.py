"""One network for many properties, to learn from all and to pre-train with."""

from __future__ import annotations

from inspect import signature
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skmatgnn._typing import RandomState
from skmatgnn.errors import InvalidValueError
from skmatgnn.estimators._base import BaseGraphEstimator
from skmatgnn.estimators._docs import document
from skmatgnn.estimators._properties import (
    CLASSIFICATION,
    property_kinds,
    property_names,
    property_weights,
    require_labels,
    score_properties,
)
from skmatgnn.estimators._tasks import NetRegressorMixin
from skmatgnn.estimators.structure import (
    ALIGNNRegressor,
    BaseALIGNN,
    BaseCGCNN,
    CGCNNRegressor,
)
from skmatgnn.nets import PropertyMonitor
from skmatgnn.nn import ALIGNN, CGCNN, MultiPropertyALIGNN, MultiPropertyCGCNN
from skmatgnn.nn.models.multi_property import PropertyHeads
from skmatgnn.utils._sklearn import Interval, StrOptions

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MPTRegressor"]

NETWORKS: dict[str, tuple[Any, type[nn.Module], type[nn.Module]]] = {
    "alignn": (ALIGNNRegressor, ALIGNN, MultiPropertyALIGNN),
    "cgcnn": (CGCNNRegressor, CGCNN, MultiPropertyCGCNN),
}
HEADS = ("head_dim", "n_head_layers")
POSITIVE = Interval(Integral, 1, None, closed="left")
COUNT = Interval(Integral, 0, None, closed="left")


@document("mpt")
class MPTRegressor(NetRegressorMixin, BaseGraphEstimator):
    """Learn many properties of crystals at once, each known for some of them.

    Multi-property pre-training: a graph network that all properties share, and a small
    network of its own for each of them. Unknown values are NaN and are left out of the
    loss, so that properties may come from different datasets; `merge_properties` puts
    them into one table. The fitted estimator predicts all properties, and is what an
    estimator of a single one can start from.

    Parameters
    ----------
    {architecture}
    {training}

    Attributes
    ----------
    {fitted}
    target_scaler_ : TargetScaler
        Mean and spread of each property.
    property_names_ : ndarray of shape (n_properties,), dtype object
        Columns of the frame that ``fit`` saw; else ``"property0"`` and so on.
    property_kinds_ : ndarray of shape (n_properties,), dtype object
        ``"regression"`` or ``"classification"``.
    property_weights_ : ndarray of shape (n_properties,) or None
        Weight of a known value of each property in the loss, one on average.

    See Also
    --------
    ALIGNNRegressor : Has ``pretrained``, for a fitted MPTRegressor.
    skmatgnn.preprocessing.merge_properties : Makes one table of many datasets.

    Notes
    -----
    The loss is the mean over the known values of a batch. In the study it was a mean
    over all cells of the table, which dilutes the gradient of a property by the number
    of the others. With ``early_stopping``, what is watched is the mean of the
    properties' validation losses, each counted alike; ``history_`` has them as
    ``"valid_losses"``, in the order of ``property_names_``.

    Classes are yes or no, and their loss is the binary cross entropy, which is about as
    large as the absolute error of a scaled property where nothing is known yet (0.69
    and 0.80). Of several classes make a column for each.

    References
    ----------
    Devi, Butler, Sai Gautam, "Optimal pre-train/fine-tune strategies for accurate
    material property predictions", npj Comput. Mater. 10, 300 (2024).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.frozen import FrozenEstimator
    >>> from skmatgnn import ALIGNNRegressor, MPTRegressor
    >>> from skmatgnn.datasets import make_crystals
    >>> X, y = make_crystals(20, random_state=0, return_X_y=True)
    >>> Y = pd.DataFrame({"energy": y, "volume": [x.volume for x in X]})
    >>> Y.loc[::2, "volume"] = np.nan
    >>> mpt = MPTRegressor(max_epochs=2, random_state=0).fit(X, Y)
    >>> mpt.predict(X[:3]).shape, mpt.property_names_.tolist()
    ((3, 2), ['energy', 'volume'])
    >>> model = ALIGNNRegressor(pretrained=FrozenEstimator(mpt), max_epochs=2)
    >>> model.fit(X, y).predict(X[:3]).shape
    (3,)
    """

    _learnt: ClassVar[tuple[str, ...]] = (
        *("net_", "target_scaler_", "graph_settings_"),
        *("property_names_", "property_kinds_"),
    )
    _parameter_constraints: ClassVar[dict] = {
        **BaseCGCNN._parameter_constraints,  # noqa: SLF001
        **BaseALIGNN._parameter_constraints,  # noqa: SLF001
        "architecture": [StrOptions(set(NETWORKS))],
        "hidden_dim": [POSITIVE, StrOptions({"auto"})],
        "norm": [StrOptions({"auto", "layer", "batch"})],
        "head_dim": [POSITIVE],
        "n_head_layers": [COUNT],
        "property_kinds": [None, dict, "array-like"],
        "property_weights": [None, StrOptions({"balanced"}), "array-like"],
        "loss": [StrOptions({"auto", "l1", "mse", "huber"})],
    }

    def __init__(
        self,
        *,
        architecture: str = "alignn",
        cutoff: float = 8.0,
        max_neighbors: int | None = 12,
        three_body_cutoff: float | None = 4.0,
        n_alignn_layers: int = 2,
        n_gcn_layers: int = 2,
        hidden_dim: int | str = "auto",
        embedding_dim: int = 64,
        n_radial: int = 80,
        n_angular: int = 40,
        edge_messages: bool = True,
        n_conv_layers: int = 3,
        node_dim: int = 64,
        n_hidden_layers: int = 1,
        edge_step: float = 0.2,
        norm: str = "auto",
        head_dim: int = 64,
        n_head_layers: int = 1,
        element_features: Any = "cgcnn",
        property_kinds: Any = None,
        property_weights: Any = None,
        loss: str = "auto",
        max_epochs: int = 100,
        batch_size: int = 32,
        lr: float = 5e-3,
        lr_schedule: str = "one_cycle",
        weight_decay: float = 0.1,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 50,
        random_state: RandomState = None,
        device: str | torch.device = "auto",
        n_devices: int | None = None,
        precision: str = "auto",
        warm_start: bool = False,
        pretrained: Any = None,
        fine_tuning: str = "full",
        head: str = "auto",
        checkpoint_dir: str | PathLike | None = None,
        callbacks: list | None = None,
        net_params: dict | None = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.architecture = architecture
        self.cutoff = cutoff
        self.max_neighbors = max_neighbors
        self.three_body_cutoff = three_body_cutoff
        self.n_alignn_layers = n_alignn_layers
        self.n_gcn_layers = n_gcn_layers
        self.hidden_dim = hidden_dim
        self.embedding_dim = embedding_dim
        self.n_radial = n_radial
        self.n_angular = n_angular
        self.edge_messages = edge_messages
        self.n_conv_layers = n_conv_layers
        self.node_dim = node_dim
        self.n_hidden_layers = n_hidden_layers
        self.edge_step = edge_step
        self.norm = norm
        self.head_dim = head_dim
        self.n_head_layers = n_head_layers
        self.element_features = element_features
        self.property_kinds = property_kinds
        self.property_weights = property_weights
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
        self.n_devices = n_devices
        self.precision = precision
        self.warm_start = warm_start
        self.pretrained = pretrained
        self.fine_tuning = fine_tuning
        self.head = head
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.net_params = net_params
        self.n_jobs = n_jobs
        self.verbose = verbose

    def predict(self, X: Any) -> np.ndarray:
        """Predict all properties.

        Parameters
        ----------
        X : sequence of n structures or graphs

        Returns
        -------
        ndarray of shape (n,) or (n, n_properties), float64
            In the units and the shape of the y that ``fit`` saw; of a class, the
            probability that it is 1.
        """
        values = super().predict(X)
        classes = self._classes()
        if classes is None:
            return values
        table = values.reshape(len(values), -1)
        table[:, classes] = expit(table[:, classes])
        return table.reshape(values.shape)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination over the known values.

        Parameters
        ----------
        X : sequence of n structures or graphs
        y : array-like of shape (n,) or (n, n_properties)
            NaN where unknown.
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        float
            Averaged over the properties. Of a class, it is that of the probabilities,
            which is known as the Brier skill score.
        """
        check_is_fitted(self)
        self._require_known_names(property_names(y))
        return super().score(X, y, sample_weight)

    def property_scores(self, X: Any, y: Any) -> pd.DataFrame:
        """Score each property on its known values.

        Parameters
        ----------
        X : sequence of n structures or graphs
        y : array-like of shape (n,) or (n, n_properties)
            NaN where unknown.

        Returns
        -------
        DataFrame
            A row for each of ``property_names_``, with the number of known values
            ``n``, the mean absolute error ``mae``, its ratio ``smae`` to that of
            predicting the mean of these values, and ``r2``. Classes have ``accuracy``
            and ``auc``, the area under the ROC curve, instead. NaN where there are too
            few values.
        """
        check_is_fitted(self)
        self._require_known_names(property_names(y))
        kinds = getattr(self, "property_kinds_", None)
        return score_properties(y, self.predict(X), self.property_names_, kinds)

    @property
    def _module(self) -> type[nn.Module]:
        return NETWORKS[self.architecture][2]

    @property
    def _trunk(self) -> type[nn.Module]:
        return NETWORKS[self.architecture][1]

    @property
    def _architecture(self) -> tuple[str, ...]:
        return (*self._trunk_parameters(), *HEADS)

    def _trunk_parameters(self) -> tuple[str, ...]:
        return NETWORKS[self.architecture][0]._architecture  # noqa: SLF001

    def _changed_since_fit(self) -> list[str]:
        if type(self.net_.module_) is not self._module:
            return ["architecture"]
        return super()._changed_since_fit()

    def _own_setting(self, name: str) -> Any:
        value = getattr(self, name)
        if isinstance(value, str) and value == "auto":
            single = NETWORKS[self.architecture][0]
            return signature(single).parameters[name].default
        return value

    def _check_targets(self, y: Any) -> np.ndarray:
        self._given_names = property_names(y)
        return super()._check_targets(y)

    def _encode_targets(
        self,
        targets: np.ndarray,
        weight: np.ndarray | None,
        *,
        reset: bool,
        in_batches: bool = False,
    ) -> np.ndarray:
        names = self.__dict__.pop("_given_names")
        if reset:
            default = [f"property{i}" for i in range(targets.shape[1])]
            names = default if names is None else names
            self.property_names_ = np.array(names, dtype=object)
        else:
            self._require_known_names(names)
        self._choose_kinds(targets, reset=reset)
        new_loss = reset or not in_batches
        weights = property_weights(self.property_weights, targets) if new_loss else None
        encoded = super()._encode_targets(
            targets, weight, reset=reset, in_batches=in_batches
        )
        if new_loss:
            self.property_weights_ = weights
        classes = self._classes()
        if classes is None:
            return encoded
        self.target_scaler_.mean_[classes] = 0.0
        self.target_scaler_.scale_[classes] = 1.0
        return self.target_scaler_.transform(targets)

    def _require_spread(
        self, targets: np.ndarray, weight: np.ndarray | None, is_scaled: np.ndarray
    ) -> None:
        classes = self._classes()
        if classes is not None:
            is_scaled = is_scaled & ~classes
        super()._require_spread(targets, weight, is_scaled)

    def _choose_kinds(self, targets: np.ndarray, *, reset: bool) -> None:
        names = self.property_names_.tolist()
        kinds = property_kinds(self.property_kinds, names)
        if reset or not hasattr(self, "property_kinds_"):
            self.property_kinds_ = kinds
        elif (kinds != self.property_kinds_).any():
            raise InvalidValueError(
                f"property_kinds changed: the model was trained on {names} as "
                f"{self.property_kinds_.tolist()}. Change it back, or set "
                "warm_start=False and call fit for a new model."
            )
        if targets.shape[1] == len(names):  # else the scaler tells
            require_labels(targets, kinds, names)

    def _classes(self) -> np.ndarray | None:
        """Which properties are classes; None if no one is."""
        kinds = self.__dict__.get("property_kinds_")  # a file from before has none
        if kinds is None or not (kinds == CLASSIFICATION).any():
            return None
        return kinds == CLASSIFICATION

    def _require_known_names(self, names: list[str] | None) -> None:
        known = self.property_names_.tolist()
        if names is not None and names != known:
            raise InvalidValueError(
                f"y has the properties {names}; the model was trained on {known}. "
                "Select and order the columns as property_names_ has them, or set "
                "warm_start=False and call fit for a new model."
            )

    def _head_mismatch(self, source: Any, *, strict: bool) -> str | None:
        head = source.net_.module_.head
        shape = (self.head_dim, self.n_head_layers)
        if not isinstance(head, PropertyHeads) or head.shape != shape:
            return "it has not a head of that form for each property"
        theirs, ours = source.property_names_.tolist(), self.property_names_.tolist()
        if theirs != ours:
            return f"it has the properties {theirs}, and y {ours}"
        theirs, ours = source._classes(), self._classes()  # noqa: SLF001
        if not np.array_equal(np.asarray(theirs), np.asarray(ours)):
            return "some of its classes are numbers here, or the other way round"
        return None

    def _criterion(self) -> dict[str, Any]:
        weights = self.property_weights_
        given = None if weights is None else weights.tolist()
        classes = self._classes()
        return {
            **super()._criterion(),
            "criterion__target_weights": given,
            "criterion__classes": None if classes is None else classes.tolist(),
        }

    def _callbacks(self) -> list:
        monitor = [("properties", PropertyMonitor())] if self.early_stopping else []
        return [*monitor, *super()._callbacks()]  # before the best model is chosen
