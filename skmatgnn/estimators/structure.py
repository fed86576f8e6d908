"""ALIGNN and CGCNN as scikit-learn estimators."""

from __future__ import annotations

from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar

import torch

from skmatgnn._typing import RandomState
from skmatgnn.estimators._base import COMMON_CONSTRAINTS, BaseGraphEstimator
from skmatgnn.estimators._docs import document
from skmatgnn.estimators._tasks import NetClassifierMixin, NetRegressorMixin
from skmatgnn.nn import ALIGNN, CGCNN
from skmatgnn.utils._sklearn import Interval, StrOptions

__all__ = ["ALIGNNClassifier", "ALIGNNRegressor", "CGCNNClassifier", "CGCNNRegressor"]

POSITIVE = Interval(Integral, 1, None, closed="left")
COUNT = Interval(Integral, 0, None, closed="left")
LOSSES = StrOptions({"auto", "l1", "mse", "huber", "cross_entropy"})


class BaseALIGNN(BaseGraphEstimator):
    _module = _trunk = ALIGNN
    _architecture = (
        "n_alignn_layers",
        "n_gcn_layers",
        "hidden_dim",
        "embedding_dim",
        "n_radial",
        "n_angular",
        "norm",
        "edge_messages",
    )
    _parameter_constraints: ClassVar[dict] = {
        **COMMON_CONSTRAINTS,
        "edge_messages": ["boolean"],
        "three_body_cutoff": [Interval(Real, 0, None, closed="neither"), None],
        "n_alignn_layers": [COUNT],
        "n_gcn_layers": [COUNT],
        "hidden_dim": [POSITIVE],
        "embedding_dim": [POSITIVE],
        "n_radial": [Interval(Integral, 2, None, closed="left")],
        "n_angular": [Interval(Integral, 2, None, closed="left")],
        "loss": [LOSSES],
    }

    def __init__(
        self,
        *,
        cutoff: float = 8.0,
        max_neighbors: int | None = 12,
        three_body_cutoff: float | None = 4.0,
        n_alignn_layers: int = 2,
        n_gcn_layers: int = 2,
        hidden_dim: int = 64,
        embedding_dim: int = 64,
        n_radial: int = 80,
        n_angular: int = 40,
        norm: str = "layer",
        edge_messages: bool = True,
        element_features: Any = "cgcnn",
        loss: str = "auto",
        max_epochs: int = 100,
        batch_size: int = 32,
        lr: float = 1e-2,
        lr_schedule: str = "one_cycle",
        weight_decay: float = 1e-5,
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
        self.cutoff = cutoff
        self.max_neighbors = max_neighbors
        self.three_body_cutoff = three_body_cutoff
        self.n_alignn_layers = n_alignn_layers
        self.n_gcn_layers = n_gcn_layers
        self.hidden_dim = hidden_dim
        self.embedding_dim = embedding_dim
        self.n_radial = n_radial
        self.n_angular = n_angular
        self.norm = norm
        self.edge_messages = edge_messages
        self.element_features = element_features
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


class BaseCGCNN(BaseGraphEstimator):
    _module = _trunk = CGCNN
    _architecture = (
        "n_conv_layers",
        "node_dim",
        "hidden_dim",
        "n_hidden_layers",
        "edge_step",
        "norm",
    )
    _parameter_constraints: ClassVar[dict] = {
        **COMMON_CONSTRAINTS,
        "n_conv_layers": [COUNT],
        "node_dim": [POSITIVE],
        "hidden_dim": [POSITIVE],
        "n_hidden_layers": [COUNT],
        "edge_step": [Interval(Real, 0, None, closed="neither")],
        "loss": [LOSSES],
    }

    def __init__(
        self,
        *,
        cutoff: float = 8.0,
        max_neighbors: int | None = 12,
        n_conv_layers: int = 3,
        node_dim: int = 64,
        hidden_dim: int = 128,
        n_hidden_layers: int = 1,
        edge_step: float = 0.2,
        norm: str = "batch",
        element_features: Any = "cgcnn",
        loss: str = "auto",
        max_epochs: int = 100,
        batch_size: int = 32,
        lr: float = 1e-2,
        lr_schedule: str = "one_cycle",
        weight_decay: float = 1e-5,
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
        self.cutoff = cutoff
        self.max_neighbors = max_neighbors
        self.n_conv_layers = n_conv_layers
        self.node_dim = node_dim
        self.hidden_dim = hidden_dim
        self.n_hidden_layers = n_hidden_layers
        self.edge_step = edge_step
        self.norm = norm
        self.element_features = element_features
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


@document("alignn")
class ALIGNNRegressor(NetRegressorMixin, BaseALIGNN):
    """Predict properties of crystals with the atomistic line graph neural network.

    ALIGNN passes messages between bonded atoms and between bonds that share an atom,
    so that it sees bond angles. It reads crystal structures as they are: graphs are
    made inside, targets are scaled inside, and several targets, some of them unknown,
    can be learnt at once.

    Parameters
    ----------
    {graph}
    {architecture}
    {training}

    Attributes
    ----------
    {fitted}
    target_scaler_ : TargetScaler
        Mean and spread of the training targets.

    See Also
    --------
    ALIGNNClassifier : The same for class labels.
    CGCNNRegressor : A smaller network without bond angles.
    MPTRegressor : Many properties at once, and what to pre-train with.
    skmatgnn.presets : The settings of published studies.

    Notes
    -----
    The default network differs from the published one, which is
    ``presets.ALIGNN_STUDY``: it is small enough for a laptop, takes angles only between
    bonds of up to 4 Angstrom, and its messages carry bond and angle features. On the
    official folds of matbench phonons its mean absolute error is 26.4 per cm, where
    ALIGNN's published one is 29.5 (``benchmarks/README.md``).

    References
    ----------
    Choudhary, DeCost, "Atomistic Line Graph Neural Network for improved materials
    property predictions", npj Comput. Mater. 7, 185 (2021).

    Examples
    --------
    >>> from skmatgnn import ALIGNNRegressor
    >>> from skmatgnn.datasets import make_crystals
    >>> X, y = make_crystals(20, random_state=0, return_X_y=True)
    >>> model = ALIGNNRegressor(max_epochs=2, random_state=0).fit(X, y)
    >>> model.predict(X[:3]).shape
    (3,)
    """


@document("alignn")
class ALIGNNClassifier(NetClassifierMixin, BaseALIGNN):
    """Classify crystals with the atomistic line graph neural network.

    Parameters
    ----------
    {graph}
    {architecture}
    {training}

    Attributes
    ----------
    {fitted}
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    See Also
    --------
    ALIGNNRegressor : The same for real targets.

    References
    ----------
    Choudhary, DeCost, "Atomistic Line Graph Neural Network for improved materials
    property predictions", npj Comput. Mater. 7, 185 (2021).

    Examples
    --------
    >>> from skmatgnn import ALIGNNClassifier
    >>> from skmatgnn.datasets import make_crystals
    >>> X, y = make_crystals(20, random_state=0, return_X_y=True)
    >>> model = ALIGNNClassifier(max_epochs=2, random_state=0).fit(X, y > y.mean())
    >>> model.predict_proba(X[:3]).shape
    (3, 2)
    """


@document("cgcnn")
class CGCNNRegressor(NetRegressorMixin, BaseCGCNN):
    """Predict properties of crystals with the crystal graph convolutional network.

    Parameters
    ----------
    {graph}
    {architecture}
    {training}

    Attributes
    ----------
    {fitted}
    target_scaler_ : TargetScaler
        Mean and spread of the training targets.

    See Also
    --------
    ALIGNNRegressor : A larger network with bond angles.

    References
    ----------
    Xie, Grossman, "Crystal Graph Convolutional Neural Networks for an Accurate and
    Interpretable Prediction of Material Properties", Phys. Rev. Lett. 120, 145301
    (2018).

    Examples
    --------
    >>> from skmatgnn import CGCNNRegressor
    >>> from skmatgnn.datasets import make_crystals
    >>> X, y = make_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=2, random_state=0).fit(X, y)
    >>> model.predict(X[:3]).shape
    (3,)
    """


@document("cgcnn")
class CGCNNClassifier(NetClassifierMixin, BaseCGCNN):
    """Classify crystals with the crystal graph convolutional network.

    Parameters
    ----------
    {graph}
    {architecture}
    {training}

    Attributes
    ----------
    {fitted}
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    See Also
    --------
    CGCNNRegressor : The same for real targets.

    References
    ----------
    Xie, Grossman, "Crystal Graph Convolutional Neural Networks for an Accurate and
    Interpretable Prediction of Material Properties", Phys. Rev. Lett. 120, 145301
    (2018).

    Examples
    --------
    >>> from skmatgnn import CGCNNClassifier
    >>> from skmatgnn.datasets import make_crystals
    >>> X, y = make_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNClassifier(max_epochs=2, random_state=0).fit(X, y > y.mean())
    >>> model.predict_proba(X[:3]).shape
    (3, 2)
    """
