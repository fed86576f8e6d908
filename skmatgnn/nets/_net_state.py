"""All of a net that changes while it trains, as plain values."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from skmatgnn.errors import InvalidTypeError
from skmatgnn.nets._encoding import PlainEncoder
from skmatgnn.nn._noise import NoiseSource

if TYPE_CHECKING:
    from skorch.callbacks import Callback

    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["get_state", "set_state"]

OURS = "skmatgnn."


def get_state(net: GraphNet) -> tuple[dict[str, Any], list[str]]:
    """Take the state of a net at the end of an epoch.

    Parameters
    ----------
    net : GraphNet

    Returns
    -------
    state : dict
        Of plain values, arrays and tensors.
    lost : list of str
        Attributes of callbacks that are none of these.
    """
    lost: list[str] = []
    callbacks = {}
    for name, callback in net.callbacks_:
        callbacks[name], left_out = _callback_state(callback)
        lost += [f"{type(callback).__name__}.{attribute}" for attribute in left_out]
    state = {
        "weights": dict(net.module_.state_dict()),
        "frozen": [k for k, p in net.module_.named_parameters() if not p.requires_grad],
        "optimizer": net.optimizer_.state_dict(),
        "history": [
            {k: v for k, v in row.items() if k != "batches"} for row in net.history
        ],
        "best_epoch": net.best_epoch_,
        "best_loss": net.best_loss_,
        "shuffling": net.shuffle_state_,
        "noise": [source.position() for source in _sources(net)],
        "callbacks": callbacks,
    }
    return state, lost


def set_state(net: GraphNet, state: dict[str, Any]) -> list[str]:
    """Give a net the state of another one with the same settings.

    Parameters
    ----------
    net : GraphNet
        Whose callbacks have begun to train.
    state : dict
        As from `get_state`.

    Returns
    -------
    list of str
        Attributes of callbacks that could not be given theirs.
    """
    lost: list[str] = []
    net.module_.load_state_dict(state["weights"])
    # a callback may have frozen some once, and will not again
    for name, parameter in net.module_.named_parameters():
        parameter.requires_grad_(name not in state["frozen"])
    for row in state["history"]:
        net.history.append({**row, "batches": [{}]})  # callbacks look at the last one
    net.best_epoch_, net.best_loss_ = state["best_epoch"], state["best_loss"]
    net.shuffle_state_ = state["shuffling"]
    for source, position in zip(_sources(net), state["noise"], strict=True):
        source.move_to(position)
    for name, callback in net.callbacks_:
        if name in state["callbacks"]:  # a progress bar may be new
            missed = _set_callback_state(net, callback, state["callbacks"][name])
            lost += [f"{type(callback).__name__}.{attribute}" for attribute in missed]
    # last, because a scheduler of rates changes the optimizer when it is made
    net.optimizer_.load_state_dict(state["optimizer"])
    return lost


def _sources(net: GraphNet) -> list[NoiseSource]:
    return [m for m in net.module_.modules() if isinstance(m, NoiseSource)]


def _callback_state(callback: Callback) -> tuple[dict[str, Any], list[str]]:
    """Take a callback's state, its own way or from its attributes."""
    if hasattr(callback, "training_state"):
        return callback.training_state(), []
    if type(callback).__module__.startswith(OURS):
        return {}, []  # the others of ours begin each epoch anew
    state, lost = {}, []
    for name, value in vars(callback).items():
        if _has_state(value):
            value = {"state_dict": value.state_dict()}  # noqa: PLW2901
        elif isinstance(value, dict):
            value = dict(value)  # noqa: PLW2901 - of its own kind again when put back
        try:
            _require_own_kinds(value)
            PlainEncoder().encode(value, name)
        except InvalidTypeError:
            if name.endswith("_") and not callable(value):  # others are settings
                lost.append(name)
        else:
            state[name] = value
    return state, lost


def _set_callback_state(net: GraphNet, callback: Callback, state: Any) -> list[str]:
    if hasattr(callback, "training_state"):
        callback.set_training_state(net, state)
        return []
    lost = []
    for name, value in state.items():
        present: Any = getattr(callback, name, None)
        is_state = isinstance(value, dict) and value.keys() == {"state_dict"}
        if is_state and present is not None and _has_state(present):
            present.load_state_dict(value["state_dict"])
        elif isinstance(present, dict) and isinstance(value, dict):
            present.clear()  # and not replaced: it may be a defaultdict
            present.update(value)
        elif is_state:
            lost.append(name)  # what has this state is made later
        else:
            setattr(callback, name, value)
    return lost


def _require_own_kinds(value: Any) -> None:
    """Refuse containers that would come back as plain ones, such as named tuples."""
    if not isinstance(value, dict | list | tuple):
        return
    if type(value) not in (dict, OrderedDict, list, tuple):
        raise InvalidTypeError(f"{type(value).__name__} is no plain container.")
    for item in value.values() if isinstance(value, dict) else value:
        _require_own_kinds(item)


def _has_state(value: Any) -> bool:
    """Tell a scheduler of torch, say; its class may be a setting."""
    return hasattr(value, "load_state_dict") and not isinstance(value, type)
