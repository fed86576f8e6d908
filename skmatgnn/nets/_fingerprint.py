"""What a training follows from, in one short text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from skorch.callbacks import Callback

from skmatgnn.nets._callbacks import ProgressBar
from skmatgnn.nets._split import HoldOut
from skmatgnn.nn.ops import way_of_computing
from skmatgnn.utils.digest import digest
from skmatgnn.utils.plain import PlainDescriber

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import DeviceDataset
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["fingerprint"]

#: Settings of a net on which its training does not depend, or that are seen otherwise.
_IDLE = {"verbose", "device", "record", "callbacks"}
_CODE_VERSION = 5  # raise it whenever the same training comes to another result


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
        Of the data, the weights, the settings of the net, functions among them by
        their code, the kind of device, the kernels, and the version of torch.
    """
    plain = PlainDescriber(without_fitted=(HoldOut, Callback))
    settings = {
        name: plain.describe(value)
        for name, value in vars(net).items()
        if not name.startswith("_") and not name.endswith("_") and name not in _IDLE
    }
    callbacks = [c for _, c in net.callbacks_ if not isinstance(c, ProgressBar)]
    data = {k: v for k, v in vars(dataset).items() if not k.startswith("_")}
    return digest(
        _CODE_VERSION,
        str(torch.__version__),
        torch.device(net.device).type,
        way_of_computing(),
        n_devices,
        settings,
        plain.describe(callbacks),
        {k: plain.describe(v) for k, v in net.module_.state_dict().items()},
        None if net.strategy_ is None else net.strategy_.name,
        data,
        plain.referred(),
    )
