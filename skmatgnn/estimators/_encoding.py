"""Parameters and fitted attributes as JSON and arrays, and back, without pickle."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from skmatgnn import featurizers
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.estimators._tables import FeatureScaler
from skmatgnn.graphs import GraphSettings
from skmatgnn.preprocessing import TargetScaler
from skmatgnn.utils.validation import describe

__all__ = ["Decoder", "Encoder"]

PLAIN = {cls.__name__: cls for cls in (FeatureScaler, GraphSettings, TargetScaler)}
TRANSFORMERS = {name: getattr(featurizers, name) for name in featurizers.__all__}
STORED_DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")
NUMBERS, LISTED = "biuf", "biufUO"


class Encoder:
    """Turn values into JSON; arrays and tensors are set aside by their place.

    Attributes
    ----------
    arrays : dict of str to ndarray
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def encode(self, value: Any, place: str) -> Any:
        """Encode one value.

        Parameters
        ----------
        value : object
        place : str
            Where it stands; names its array, or the culprit in an error.

        Returns
        -------
        object
            None, bool, int, float, str, a list, or a dict with one key that begins
            with an exclamation mark.

        Raises
        ------
        InvalidTypeError
            If only pickle could save it.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float and math.isfinite(value):
            return value
        if type(value) is float:
            return {"!float": repr(value)}
        for kinds, method in self._METHODS:
            if isinstance(value, kinds):
                return method(self, value, place)
        name = type(value).__name__
        if name in PLAIN and type(value) is PLAIN[name]:
            return {"!object": [name, self._fields(vars(value), place)]}
        if name in TRANSFORMERS and type(value) is TRANSFORMERS[name]:
            return self._transformer(value, place)
        raise InvalidTypeError(
            f"{place} cannot be saved without pickle: it is {describe(value)}. Set it "
            "to something that plain values describe, or to None, with set_params "
            "before save; or use joblib and trust who opens the file."
        )

    def _fields(self, values: dict[str, Any], place: str) -> dict[str, Any]:
        return {k: self.encode(v, f"{place}.{k}") for k, v in values.items()}

    def _list(self, value: list | tuple, place: str) -> Any:
        items = [self.encode(v, f"{place}.{i}") for i, v in enumerate(value)]
        return {"!tuple": items} if isinstance(value, tuple) else items

    def _dict(self, value: dict, place: str) -> Any:
        return {
            "!dict": [
                [self.encode(k, place), self.encode(v, f"{place}.{k}")]
                for k, v in value.items()
            ]
        }

    def _array(self, value: np.ndarray, place: str) -> Any:
        if value.dtype.name in STORED_DTYPES:
            self.arrays[place] = value
            return {"!array": place}
        if value.dtype.kind not in LISTED:
            raise InvalidTypeError(
                f"{place} cannot be saved: it is an array of {value.dtype}."
            )
        flat = value.ravel()
        items = [self.encode(v, f"{place}.{i}") for i, v in enumerate(flat.tolist())]
        return {"!values": [value.dtype.str, list(value.shape), items]}

    def _tensor(self, value: torch.Tensor, place: str) -> Any:
        self.arrays[place] = value.detach().cpu().numpy()
        return {"!tensor": place}

    def _scalar(self, value: np.generic, place: str) -> Any:
        if value.dtype.kind not in "biufU":
            raise InvalidTypeError(f"{place} cannot be saved: it is a {value.dtype}.")
        return {"!scalar": [value.dtype.str, self.encode(value.item(), place)]}

    def _random_state(self, value: np.random.RandomState, place: str) -> Any:
        kind, keys, *rest = value.get_state()
        if kind != "MT19937":
            raise InvalidTypeError(f"{place} cannot be saved: its generator is {kind}.")
        return {"!random_state": [keys.tolist(), *rest]}

    def _optimizer(self, value: type, place: str) -> Any:
        if getattr(torch.optim, value.__name__, None) is not value:
            raise InvalidTypeError(
                f"{place} cannot be saved: {describe(value)} is not of torch.optim."
            )
        return {"!optimizer": value.__name__}

    def _device(self, value: torch.device, place: str) -> Any:
        return {"!device": str(value)}

    def _path(self, value: PurePath, place: str) -> Any:
        return {"!path": str(value)}

    def _transformer(self, value: Any, place: str) -> Any:
        parameters = value.get_params(deep=False)
        fitted = {k: v for k, v in vars(value).items() if k.endswith("_")}
        name = type(value).__name__
        parameters = self._fields(parameters, place)
        return {"!transformer": [name, parameters, self._fields(fitted, place)]}

    def _frozen(self, value: FrozenEstimator, place: str) -> Any:
        from skmatgnn.estimators._checkpoint import encode_estimator

        return {"!frozen": encode_estimator(value.estimator, self, f"{place}.")}

    _METHODS = (
        (np.ndarray, _array),
        (np.generic, _scalar),
        ((list, tuple), _list),
        (dict, _dict),
        (torch.Tensor, _tensor),
        (torch.device, _device),
        (PurePath, _path),
        (np.random.RandomState, _random_state),
        (type, _optimizer),
        (FrozenEstimator, _frozen),
    )


class Decoder:
    """Turn JSON back into values; only what `Encoder` makes is understood.

    Parameters
    ----------
    arrays : dict of str to ndarray
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)

    def take(self, name: str) -> np.ndarray:
        """Get an array, once.

        Parameters
        ----------
        name : str

        Returns
        -------
        ndarray
        """
        return self.arrays.pop(name)

    def decode(self, value: Any) -> Any:
        """Decode one value.

        Parameters
        ----------
        value : object
            Of JSON.

        Returns
        -------
        object

        Raises
        ------
        InvalidValueError
            If it is of no known kind.
        """
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((kind, content),) = value.items()
            if kind in self._METHODS:
                return self._METHODS[kind](self, content)
        raise InvalidValueError(f"holds a value of unknown kind, {sorted(value)[:5]}")

    def _fields(self, values: dict[str, Any]) -> dict[str, Any]:
        return {key: self.decode(value) for key, value in values.items()}

    def _float(self, content: str) -> float:
        return float(content)

    def _tuple(self, content: list) -> tuple:
        return tuple(self.decode(item) for item in content)

    def _tensor(self, content: str) -> torch.Tensor:
        return torch.from_numpy(self.take(content))

    def _device(self, content: str) -> torch.device:
        return torch.device(content)

    def _path(self, content: str) -> Path:
        return Path(content)

    def _dict(self, content: list) -> dict:
        return {self.decode(key): self.decode(value) for key, value in content}

    def _values(self, content: list) -> np.ndarray:
        dtype, shape, items = content
        array = np.empty(len(items), dtype=_dtype(dtype, LISTED))
        for index, item in enumerate(items):  # an item may itself be a sequence
            array[index] = self.decode(item)
        return array.reshape(shape)

    def _scalar(self, content: list) -> np.generic:
        return _dtype(content[0], NUMBERS + "U").type(self.decode(content[1]))

    def _object(self, content: list) -> Any:
        cls, values = PLAIN[content[0]], self._fields(content[1])
        if cls is GraphSettings:
            return cls(**{field.name: values.pop(field.name) for field in fields(cls)})
        instance = cls.__new__(cls)
        instance.__dict__.update(values)
        return instance

    def _random_state(self, content: list) -> np.random.RandomState:
        state = np.random.RandomState()
        state.set_state(("MT19937", np.array(content[0], np.uint32), *content[1:]))
        return state

    def _optimizer(self, name: str) -> type:
        found = getattr(torch.optim, name, None)
        if isinstance(found, type) and issubclass(found, torch.optim.Optimizer):
            return found
        raise InvalidValueError(f"names {name!r}, which is no optimizer of torch")

    def _transformer(self, content: list) -> Any:
        name, parameters, fitted = content
        instance = TRANSFORMERS[name](**self._fields(parameters))
        instance.__dict__.update(self._fields(fitted))
        return instance

    def _frozen(self, content: dict) -> FrozenEstimator:
        from skmatgnn.estimators._checkpoint import decode_estimator

        return FrozenEstimator(decode_estimator(content, self))

    _METHODS = {
        "!float": _float,
        "!tuple": _tuple,
        "!dict": _dict,
        "!array": take,
        "!tensor": _tensor,
        "!values": _values,
        "!scalar": _scalar,
        "!object": _object,
        "!transformer": _transformer,
        "!random_state": _random_state,
        "!device": _device,
        "!path": _path,
        "!optimizer": _optimizer,
        "!frozen": _frozen,
    }


def _dtype(name: str, kinds: str) -> np.dtype:
    dtype = np.dtype(str(name))
    if dtype.kind not in kinds or dtype.fields is not None:
        raise InvalidValueError(f"holds values of the unknown type {name!r}")
    return dtype
