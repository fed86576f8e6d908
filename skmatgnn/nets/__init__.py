"""Training on skorch: datasets on the device, batches, callbacks, the net."""

from skmatgnn.nets._callbacks import (
    BestModel,
    CalibrateNorm,
    EarlyStop,
    GradualUnfreezing,
    OneCycle,
    ProgressBar,
)
from skmatgnn.nets._data_parallel import TrainingProcessError
from skmatgnn.nets._dataset import (
    DeviceDataset,
    GraphDataset,
    GraphIterator,
    TableDataset,
    TokenDataset,
)
from skmatgnn.nets._fine_tuning import FineTuning
from skmatgnn.nets._graph_net import GraphNet, TrainingInterruptedWarning
from skmatgnn.nets._monitors import ErrorMonitor, PropertyMonitor
from skmatgnn.nets._split import HoldOut

__all__ = [
    "BestModel",
    "CalibrateNorm",
    "DeviceDataset",
    "EarlyStop",
    "ErrorMonitor",
    "FineTuning",
    "GradualUnfreezing",
    "GraphDataset",
    "GraphIterator",
    "GraphNet",
    "HoldOut",
    "OneCycle",
    "ProgressBar",
    "PropertyMonitor",
    "TableDataset",
    "TokenDataset",
    "TrainingInterruptedWarning",
    "TrainingProcessError",
]
