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
from skmatgnn.nets._graph_net import GraphNet
from skmatgnn.nets._monitors import ErrorMonitor, PropertyMonitor
from skmatgnn.nets._out_of_memory import BatchHalvedWarning
from skmatgnn.nets._split import HoldOut
from skmatgnn.nets._stops import TrainingInterruptedWarning
from skmatgnn.nets._training_record import TrainingStateWarning

__all__ = [
    "BatchHalvedWarning",
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
    "TrainingStateWarning",
]
