"""Plain values as JSON and arrays, and back, without pickle."""

from __future__ import annotations

import math
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils.validation import describe

__all__ = ["PlainDecoder", "PlainEncoder"]

STORED_DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")
NUMBERS, LISTED = "biuf", "biufUO"
WIDER = {  # types of tensors that the file format has not, or NumPy
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.int8: torch.int32,
    torch.int16: torch.int32,
}


class PlainEncoder:
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
        return self._other(value, place)

    def _other(self, value: Any, place: str) -> Any:
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
        if value.dtype.name in STORED_DTYPES and value.dtype.isnative:
            return {"!array": self._set_aside(value, place)}
        if value.dtype.kind not in LISTED:
            raise InvalidTypeError(
                f"{place} cannot be saved: it is an array of {value.dtype}."
            )
        flat = value.ravel()
        items = [self.encode(v, f"{place}.{i}") for i, v in enumerate(flat.tolist())]
        return {"!values": [value.dtype.str, list(value.shape), items]}

    def _tensor(self, value: torch.Tensor, place: str) -> Any:
        name = str(value.dtype).removeprefix("torch.")
        if value.layout is not torch.strided:
            return self._other(value, place)
        if value.dtype in WIDER:
            wider = value.to(WIDER[value.dtype])
            return {"!tensor_of": [name, self._tensor(wider, place)]}
        if name not in STORED_DTYPES:
            return self._other(value, place)
        return {"!tensor": self._set_aside(value.detach().cpu().numpy(), place)}

    def _set_aside(self, array: np.ndarray, place: str) -> str:
        while place in self.arrays:  # of a dict with the keys 1 and "1", say
            place += "'"
        self.arrays[place] = array
        return place

    def _scalar(self, value: np.generic, place: str) -> Any:
        if value.dtype.kind not in "biufU":
            raise InvalidTypeError(f"{place} cannot be saved: it is a {value.dtype}.")
        return {"!scalar": [value.dtype.str, self.encode(value.item(), place)]}

    def _random_state(self, value: np.random.RandomState, place: str) -> Any:
        state: Any = value.get_state()
        kind, keys, *rest = state
        if kind != "MT19937":
            raise InvalidTypeError(f"{place} cannot be saved: its generator is {kind}.")
        return {"!random_state": [keys.tolist(), *rest]}

    def _device(self, value: torch.device, place: str) -> Any:
        return {"!device": str(value)}

    def _path(self, value: PurePath, place: str) -> Any:
        return {"!path": str(value)}

    _METHODS: tuple = (
        (np.ndarray, _array),
        (np.generic, _scalar),
        ((list, tuple), _list),
        (dict, _dict),
        (torch.Tensor, _tensor),
        (torch.device, _device),
        (PurePath, _path),
        (np.random.RandomState, _random_state),
    )


class PlainDecoder:
    """Turn JSON back into values; only what its encoder makes is understood.

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

    def _tensor_of(self, content: list) -> torch.Tensor:
        kinds = {str(dtype): dtype for dtype in WIDER}
        return self.decode(content[1]).to(kinds[f"torch.{content[0]}"])

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

    def _random_state(self, content: list) -> np.random.RandomState:
        state = np.random.RandomState()
        state.set_state(("MT19937", np.array(content[0], np.uint32), *content[1:]))
        return state

    _METHODS: dict = {
        "!float": _float,
        "!tuple": _tuple,
        "!dict": _dict,
        "!array": take,
        "!tensor": _tensor,
        "!tensor_of": _tensor_of,
        "!values": _values,
        "!scalar": _scalar,
        "!random_state": _random_state,
        "!device": _device,
        "!path": _path,
    }


def _dtype(name: str, kinds: str) -> np.dtype:
    dtype = np.dtype(str(name))
    if dtype.kind not in kinds or dtype.fields is not None:
        raise InvalidValueError(f"holds values of the unknown type {name!r}")
    return dtype
