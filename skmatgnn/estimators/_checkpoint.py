"""Saving and loading of trained estimators."""

from __future__ import annotations

import platform
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skmatgnn import __version__
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.estimators._encoding import Decoder, Encoder
from skmatgnn.nets._checkpoint import read_checkpoint, write_checkpoint
from skmatgnn.nets._fine_tuning import STRATEGIES
from skmatgnn.nets._shared_state import kept_generator
from skmatgnn.pretrained import PREFIX, pretrained_path

if TYPE_CHECKING:
    from skmatgnn.estimators._net_base import BaseNetEstimator
    from skmatgnn.nets import GraphNet

__all__ = [
    "CheckpointMixin",
    "decode_estimator",
    "decode_template",
    "encode_estimator",
    "encode_template",
    "load_estimator",
    "read_about",
    "save_estimator",
]

_DAMAGE = (
    *(LookupError, TypeError, AttributeError, ValueError, RuntimeError),
    *(ArithmeticError, MemoryError, AssertionError),  # of torch, with absurd sizes
)


class CheckpointMixin:
    """save and load without pickle."""

    # what predict needs beside the attributes that end with an underscore
    _also_saved: tuple[str, ...] = ()
    # whether it has a network of its own, beside those of estimators inside
    _has_network = True

    def save(self, path: str | PathLike) -> None:
        """Write the fitted estimator to one file, which holds no code.

        The file is in the safetensors format: the weights, and as JSON all parameters
        and fitted attributes, with the format's version and a checksum. An old file
        at ``path`` is replaced only by a complete new one.

        Parameters
        ----------
        path : str or path-like
            Any name; ``.safetensors`` is usual.

        Raises
        ------
        NotFittedError
            If there is nothing to save yet.
        InvalidTypeError
            If a parameter, such as a callback or an estimator of another package, is
            an object that only pickle could save; the message names it.
        OSError
            If the file cannot be written.

        Notes
        -----
        The state of the optimizer is not saved, so that ``partial_fit`` of a loaded
        estimator begins with a fresh one. An estimator inside ``pretrained`` is saved
        along, as refitting needs it; ``set_params(pretrained=None)`` leaves it out.
        ``checkpoint_dir``, a folder of this computer, is not saved.
        """
        save_estimator(self, path)

    @classmethod
    def load(cls, path: str | PathLike, *, device: str | None = None) -> Self:
        """Read what ``save`` has written; no code in the file is run.

        Parameters
        ----------
        path : str or path-like
        device : str, optional
            In place of the saved ``device`` parameter, also of estimators inside:
            ``"cpu"``, say, for a model that was trained with ``device="cuda"``.

        Returns
        -------
        estimator
            Fitted; on the same kind of device it predicts the same, bit for bit.

        Raises
        ------
        InvalidValueError
            If the file is not there, is no checkpoint, is damaged or changed, was
            made by a later version, or holds another estimator.
        """
        return _load(path, device, cls)

    def _digest_content(self) -> Any:
        """Give what `skmatgnn.utils.digest` hashes of a fitted estimator.

        A hash of its pickle would be another one in each process.
        """
        from skmatgnn.estimators._content import content_of

        return content_of(self)


def save_estimator(
    estimator: Any,
    path: str | PathLike,
    about: dict[str, Any] | None = None,
) -> None:
    """Write a fitted estimator, as its ``save`` does.

    Parameters
    ----------
    estimator : estimator
    path : str or path-like
    about : dict, optional
        What else is to be known of it; anything that JSON can hold. `read_about` gives
        it back, and loading leaves it alone.

    Raises
    ------
    InvalidTypeError, NotFittedError, OSError
        As ``save`` does.
    """
    checked = _checked_path(path)
    encoder = Encoder()
    config = encode_estimator(estimator, encoder, "")
    config["saved_with"] = {
        "skmatgnn": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    if about:
        config["about"] = about
    write_checkpoint(checked, config, encoder.arrays)


def read_about(path: str | PathLike) -> dict[str, Any]:
    """Read what `save_estimator` was told of the estimator beside itself.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    dict
        Empty where nothing was.

    Raises
    ------
    InvalidValueError
        If there is no such checkpoint.
    """
    about = read_checkpoint(_checked_path(path))[0].get("about")
    return about if isinstance(about, dict) else {}


def load_estimator(path: str | PathLike, *, device: str | None = None) -> Any:
    """Read an estimator of any class that ``save`` has written.

    Parameters
    ----------
    path : str or path-like
        Or a name that `skmatgnn.pretrained.list_pretrained` gives.
    device : str, optional
        In place of the saved ``device`` parameter.

    Returns
    -------
    estimator
        Fitted.

    Raises
    ------
    InvalidValueError
        If the file is not there, is no checkpoint, is damaged or changed, or was made
        by a later version.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skmatgnn import CrabNetRegressor, load_estimator
    >>> model = CrabNetRegressor(d_model=8, n_heads=2, max_epochs=1, random_state=0)
    >>> model = model.fit(["NaCl", "KCl", "MgO"], [8.5, 8.4, 7.8])
    >>> with TemporaryDirectory() as folder:
    ...     model.save(Path(folder) / "gap.safetensors")
    ...     again = load_estimator(Path(folder) / "gap.safetensors")
    >>> bool((again.predict(["CaO"]) == model.predict(["CaO"])).all())
    True
    """
    return _load(path, device, None)


def encode_estimator(estimator: Any, encoder: Encoder, prefix: str) -> dict[str, Any]:
    """Describe a fitted estimator.

    Parameters
    ----------
    estimator : estimator
    encoder : Encoder
        Takes the arrays.
    prefix : str
        Of the arrays' names.

    Returns
    -------
    dict
        That JSON can hold.

    Raises
    ------
    InvalidTypeError
        If a part of it can only be pickled, or it is no estimator of ours.
    """
    config = encode_template(estimator, encoder, prefix)
    check_is_fitted(estimator)
    parameters = _parameters(estimator)
    config["fitted"] = {
        name: encoder.encode(value, prefix + name)
        for name, value in vars(estimator).items()
        if name not in parameters
        and name != "net_"
        and (_is_fitted_name(name) or name in estimator._also_saved)  # noqa: SLF001
    }
    if estimator._has_network:  # noqa: SLF001
        config["network"] = _encode_net(estimator.net_, encoder, prefix)
    return config


def encode_template(estimator: Any, encoder: Encoder, prefix: str) -> dict[str, Any]:
    """Describe an estimator that need not be fitted.

    Parameters
    ----------
    estimator : estimator
    encoder : Encoder
        Takes the arrays.
    prefix : str
        Of the arrays' names.

    Returns
    -------
    dict
        That JSON can hold.

    Raises
    ------
    InvalidTypeError
        If a parameter can only be pickled, or it is no estimator of ours.
    """
    if not isinstance(estimator, CheckpointMixin):
        raise InvalidTypeError(
            f"{type(estimator).__name__} cannot be saved without pickle; estimators of "
            "skmatgnn with a network can. skops saves Pipelines and searches."
        )
    parameters = _parameters(estimator)
    parameters.pop("checkpoint_dir", None)
    return {
        "estimator": type(estimator).__name__,
        "parameters": {k: encoder.encode(v, prefix + k) for k, v in parameters.items()},
    }


def _parameters(estimator: Any) -> dict[str, Any]:
    return estimator.get_params(deep=False)


def _encode_net(net: GraphNet, encoder: Encoder, prefix: str) -> dict[str, Any]:
    weights = net.module_.state_dict()
    for name, tensor in weights.items():
        encoder.arrays[f"{prefix}net.{name}"] = tensor.detach().cpu().numpy()
    return {
        "arguments": {
            k: encoder.encode(v, f"{prefix}network.{k}")
            for k, v in net.get_params_for("module").items()
        },
        "weights": list(weights),
        "batch_size": int(net.batch_size),
        "precision": net.precision,
        "device": torch.device(net.device).type,
        "fine_tuning": None if net.strategy_ is None else net.strategy_.name,
        "prefix": prefix,
    }


def decode_estimator(config: dict[str, Any], decoder: Decoder, cls: Any = None) -> Any:
    """Rebuild a fitted estimator.

    Parameters
    ----------
    config : dict
        As from `encode_estimator`.
    decoder : Decoder
        Has the arrays.
    cls : type, optional
        Class that is expected.

    Returns
    -------
    estimator

    Raises
    ------
    InvalidValueError
        If ``config`` describes no estimator, or not that.
    """
    estimator = decode_template(config, decoder, cls)
    for name, value in config["fitted"].items():
        known = _is_fitted_name(name) or name in estimator._also_saved  # noqa: SLF001
        if not known or name == "net_" or hasattr(type(estimator), name):
            raise InvalidValueError(f"has the unknown attribute {name!r}")
        setattr(estimator, name, decoder.decode(value))
    if estimator._has_network:  # noqa: SLF001
        estimator.net_ = _make_net(estimator, config["network"], decoder)
        estimator.device_ = estimator.net_.device
    return estimator


def _load(path: Any, device: str | None, cls: Any) -> Any:
    path = _checked_path(path)
    if str(path).startswith(PREFIX) and not Path(path).exists():
        path = pretrained_path(str(path))
    config, arrays = read_checkpoint(path)
    decoder = Decoder(arrays, device)
    try:
        estimator = decode_estimator(config, decoder, cls)
        if decoder.arrays:
            raise InvalidValueError(f"has unknown arrays: {sorted(decoder.arrays)[:5]}")
    except _DAMAGE as error:
        cause = " ".join(str(error).split())[:500]
        if not isinstance(error, ValueError):
            cause = f"it is not as save writes it ({type(error).__name__}: {cause})"
        raise InvalidValueError(f"{path} cannot be loaded: {cause}") from error
    return estimator


def decode_template(config: dict[str, Any], decoder: Decoder, cls: Any = None) -> Any:
    """Rebuild an estimator without what it has learnt.

    Parameters
    ----------
    config : dict
        As from `encode_template`.
    decoder : Decoder
        Has the arrays, and the device in place of the saved parameter.
    cls : type, optional
        Class that is expected.

    Returns
    -------
    estimator

    Raises
    ------
    InvalidValueError
        If ``config`` describes no estimator, or not that.
    """
    name = config["estimator"]
    if cls is None or cls.__name__ != name:
        found = _estimator_class(name)
        if cls is not None:
            raise InvalidValueError(
                f"it holds the estimator {name}, not {cls.__name__}. Use {name}.load, "
                "or skmatgnn.load_estimator for any."
            )
        cls = found
    parameters = {k: decoder.decode(v) for k, v in config["parameters"].items()}
    unknown = sorted(set(parameters) - set(cls._get_param_names()))
    if unknown:
        raise InvalidValueError(f"{name} has no parameters {unknown}")
    # a parameter that is younger than the file has its default, which changes nothing
    estimator = cls(**parameters)
    if decoder.device is not None and cls._has_network:
        estimator.set_params(device=decoder.device)
    estimator._validate_params()
    return estimator


def _estimator_class(name: str) -> Any:
    from skmatgnn import estimators

    cls: Any = getattr(estimators, name, None) if name in estimators.__all__ else None
    saved = isinstance(cls, type) and issubclass(cls, CheckpointMixin)
    if not saved:
        raise InvalidValueError(f"it holds {name!r}, which this version does not have")
    return cls


def _make_net(
    estimator: BaseNetEstimator, config: dict[str, Any], decoder: Decoder
) -> GraphNet:
    arguments = {k: decoder.decode(v) for k, v in config["arguments"].items()}
    weights = {
        name: torch.from_numpy(decoder.take(f"{config['prefix']}net.{name}"))
        for name in config["weights"]
    }
    _require_fitting(estimator._module, arguments, weights)  # noqa: SLF001
    net = estimator._make_net(  # noqa: SLF001
        arguments,
        batch_size=config["batch_size"],
        precision=config["precision"],
        trained_on=config["device"],
    )
    for name, tensor in net.module_.state_dict().items():
        if weights[name].dtype != tensor.dtype:
            raise InvalidValueError(
                f"the weights {name} are {weights[name].dtype}, not {tensor.dtype}"
            )
    net.module_.load_state_dict(weights)
    if config.get("fine_tuning") is not None:  # partial_fit goes on with it
        net.fine_tune(STRATEGIES[config["fine_tuning"]], estimator.max_epochs)
    for row in getattr(estimator, "history_", []):
        net.history.append({**row, "batches": []})
    net.best_epoch_, net.best_loss_ = getattr(estimator, "best_epoch_", None), np.inf
    return net


def _require_fitting(
    module: type[nn.Module],
    arguments: dict[str, Any],
    weights: dict[str, torch.Tensor],
) -> None:
    """Compare shapes before any memory is taken for what a wrong file may ask for."""
    largest = sum(weight.numel() for weight in weights.values())
    for name, value in arguments.items():
        if isinstance(value, Integral) and int(value) > largest:
            raise InvalidValueError(f"its network has {name}={value}, but few weights")
    with kept_generator(), torch.device("meta"):
        expected = module(**arguments).state_dict()
    if list(expected) != list(weights):
        raise InvalidValueError("its weights are not those of its network")
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            raise InvalidValueError(
                f"the weights {name} have the shape {tuple(weights[name].shape)} in "
                f"place of {tuple(tensor.shape)}"
            )


def _checked_path(path: Any) -> Any:
    if not isinstance(path, str | PathLike):
        raise InvalidTypeError(
            f"path must be a str or path-like; got {type(path).__name__}."
        )
    return path


def _is_fitted_name(name: str) -> bool:
    return name.isidentifier() and name.endswith("_") and not name.startswith("_")
