"""What displays are given, checked: columns of numbers, limits, a control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidValueError
from skmatgnn.utils.targets import ensure_numbers
from skmatgnn.utils.validation import describe, require_consistent_length

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray


def ensure_limits(limits: Any) -> tuple[float, float]:
    """Convert the ends of the axes."""
    try:
        low, high = (float(end) for end in limits)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            f"limits must be two numbers, (low, high); got {describe(limits)}."
        ) from error
    if not (np.isfinite([low, high]).all() and low < high):
        raise InvalidValueError(
            "limits must be finite numbers, the lower one first; got "
            f"({low:g}, {high:g})."
        )
    return low, high


def ensure_baseline(
    baseline: Any, shown: np.ndarray, name: str = "baseline"
) -> FloatArray | None:
    """Make the control's predictions of the pairs that are shown."""
    if baseline is None:
        return None
    values = [baseline] if np.ndim(baseline) == 0 else baseline
    column = ensure_column(values, name)
    if len(column) == 1:
        column = np.repeat(column, len(shown))
    require_consistent_length(y_true=shown, **{name: column})
    lost = np.flatnonzero(shown & np.isnan(column))
    if len(lost):
        raise InvalidValueError(
            f"{name} is NaN at index {lost[0]}, where the true and the predicted "
            "value are known."
        )
    return column[shown]


def ensure_column(values: Any, name: str) -> FloatArray:
    """Convert one number per sample; NaN is left for the caller."""
    array = ensure_numbers(values, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidValueError(
            f"{name} must have one value per sample; got shape {array.shape}. Draw "
            f"several properties one by one: {name}=Y[:, 0]."
        )
    return array
