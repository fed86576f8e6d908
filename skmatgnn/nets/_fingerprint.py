"""What a training follows from, in one short text."""

from __future__ import annotations

from pickle import PicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import Callback

from skmatgnn.nets._callbacks import ProgressBar
from skmatgnn.nets._split import HoldOut
from skmatgnn.nn.ops import way_of_computing
from skmatgnn.utils.digest import digest

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import DeviceDataset
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["fingerprint"]

#: Settings of a net on which its training does not depend, or that are seen otherwise.
_IDLE = {"verbose", "device", "record", "callbacks"}
_CODE_VERSION = 3  # raise it whenever the same training comes to another result


def fingerprint(net: GraphNet, dataset: DeviceDataset, n_devices: int) -> str:
    """Hash all that decides what a training comes to.

    Parameters
    ----------
    net : GraphNet
        Initialised and not yet trained.
    dataset : DeviceDataset
    n_devices : int
        That train it together.

    Returns
    -------
    str
        Of the data, the weights, the settings of the net, the kind of device, the
        kernels, and the version of torch.
    """
    settings = {
        name: _plain(value)
        for name, value in vars(net).items()
        if not name.startswith("_") and not name.endswith("_") and name not in _IDLE
    }
    data = {k: v for k, v in vars(dataset).items() if not k.startswith("_")}
    return digest(
        _CODE_VERSION,
        str(torch.__version__),
        torch.device(net.device).type,
        way_of_computing(),
        n_devices,
        settings,
        [_plain(c) for _, c in net.callbacks_ if not isinstance(c, ProgressBar)],
        {k: _plain(v) for k, v in net.module_.state_dict().items()},
        None if net.strategy_ is None else net.strategy_.name,
        data,
    )


def _plain(value: Any) -> Any:
    """Describe a value by what can be hashed the same way in another process."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, HoldOut | Callback):
        content = {k: v for k, v in vars(value).items() if not k.endswith("_")}
        return [_name(value), _plain(content)]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return value if _can_be_hashed(value) else _name(value)


def _can_be_hashed(value: Any) -> bool:
    if callable(value):
        return False
    try:
        digest(value)
    except (PicklingError, AttributeError, TypeError):
        return False
    return True


def _name(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
