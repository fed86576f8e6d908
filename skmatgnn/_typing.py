"""Type aliases of the public signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from sklearn.utils import Bunch

    # with return_X_y a pair; Any, so that users need no cast for either
    Dataset: TypeAlias = Bunch | Any

BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.floating]
IntArray: TypeAlias = NDArray[np.integer]
RandomState: TypeAlias = int | np.random.RandomState | None

__all__ = [
    "ArrayLike",
    "BoolArray",
    "FloatArray",
    "IntArray",
    "RandomState",
]
