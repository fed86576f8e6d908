"""What a fitted estimator is, as plain values that can be hashed."""

from __future__ import annotations

from typing import Any

from sklearn.frozen import FrozenEstimator

from skmatgnn.errors import InvalidTypeError
from skmatgnn.estimators._encoding import Encoder
from skmatgnn.utils.digest import IDLE, digest

__all__ = ["content_of"]


class _ContentEncoder(Encoder):
    """Leave out what nothing depends on; hash what cannot be encoded."""

    def encode(self, value: Any, place: str) -> Any:
        if place.rpartition(".")[2] in {"callbacks", *IDLE}:
            return None
        try:
            return super().encode(value, place)
        except InvalidTypeError:
            return {"!hash": digest(FrozenEstimator(value))}


def content_of(estimator: Any) -> tuple[Any, dict[str, Any]]:
    """Describe an estimator with what it has learnt, as ``save`` does.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    config : object
        That JSON can hold.
    arrays : dict of str to ndarray
    """
    encoder = _ContentEncoder()
    return encoder.encode(estimator, ""), encoder.arrays
