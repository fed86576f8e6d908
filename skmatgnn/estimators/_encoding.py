"""Parameters and fitted attributes as JSON and arrays, and back, without pickle."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skmatgnn import featurizers
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.estimators._tables import FeatureScaler
from skmatgnn.graphs import GraphSettings
from skmatgnn.nets._encoding import PlainDecoder, PlainEncoder
from skmatgnn.preprocessing import TargetScaler
from skmatgnn.utils.validation import describe

__all__ = ["Decoder", "Encoder"]

PLAIN = {cls.__name__: cls for cls in (FeatureScaler, GraphSettings, TargetScaler)}
TRANSFORMERS = {name: getattr(featurizers, name) for name in featurizers.__all__}


class Encoder(PlainEncoder):
    """Turn values into JSON; arrays and tensors are set aside by their place."""

    def _other(self, value: Any, place: str) -> Any:
        name = type(value).__name__
        if name in PLAIN and type(value) is PLAIN[name]:
            return {"!object": [name, self._fields(vars(value), place)]}
        if name in TRANSFORMERS and type(value) is TRANSFORMERS[name]:
            return self._transformer(value, place)
        return super()._other(value, place)

    def _estimator(self, value: BaseEstimator, place: str) -> Any:
        from skmatgnn.estimators._checkpoint import (
            CheckpointMixin,
            encode_estimator,
            encode_template,
        )

        if not isinstance(value, CheckpointMixin):
            return self._other(value, place)
        try:
            check_is_fitted(value)
        except NotFittedError:
            encode = encode_template
        else:
            encode = encode_estimator
        return {"!estimator": encode(value, self, f"{place}.")}

    def _optimizer(self, value: type, place: str) -> Any:
        if getattr(torch.optim, value.__name__, None) is not value:
            raise InvalidTypeError(
                f"{place} cannot be saved: {describe(value)} is not of torch.optim."
            )
        return {"!optimizer": value.__name__}

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
        *PlainEncoder._METHODS,  # noqa: SLF001 - of the base class
        (type, _optimizer),
        (FrozenEstimator, _frozen),
        (BaseEstimator, _estimator),
    )


class Decoder(PlainDecoder):
    """Turn JSON back into values; only what `Encoder` makes is understood.

    Parameters
    ----------
    arrays : dict of str to ndarray
    device : str, optional
        In place of the saved ``device`` of all estimators.
    """

    def __init__(
        self, arrays: dict[str, np.ndarray], device: str | None = None
    ) -> None:
        super().__init__(arrays)
        self.device = device

    def _object(self, content: list) -> Any:
        cls, values = PLAIN[content[0]], self._fields(content[1])
        if cls is GraphSettings:
            return cls(**{field.name: values.pop(field.name) for field in fields(cls)})
        instance = cls.__new__(cls)
        instance.__dict__.update(values)
        return instance

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

    def _estimator(self, content: dict) -> Any:
        from skmatgnn.estimators._checkpoint import decode_estimator, decode_template

        decode = decode_estimator if "fitted" in content else decode_template
        return decode(content, self)

    _METHODS = {
        **PlainDecoder._METHODS,  # noqa: SLF001 - of the base class
        "!object": _object,
        "!transformer": _transformer,
        "!optimizer": _optimizer,
        "!estimator": _estimator,
        "!frozen": _frozen,
    }
