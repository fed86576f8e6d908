"""Reading of what transfer_matrix returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student_t

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    import pandas as pd

    from skmatgnn._typing import ArrayLike

__all__ = ["LABELS", "METRICS", "require_frame", "spread_of"]

METRICS = {"mae": "MAE", "smae": "SMAE"}
LABELS = {
    "scratch": "scratch",
    "mpt": "MPT",
    "mpt_without_target": "MPT without target",
}
SPREADS = ("interval", "std")
_NEEDED = ("target", "design", "source", "size", "trial")


def require_frame(frame: Any, metric: str) -> pd.DataFrame:
    """Reject what is no result of transfer_matrix."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise InvalidTypeError(
            f"frame must be the DataFrame of transfer_matrix; got {describe(frame)}."
        )
    missing = [name for name in (*_NEEDED, metric) if name not in frame.columns]
    if missing:
        raise InvalidValueError(
            f"frame has no columns {missing}; got {list(frame.columns)}. Give what "
            "transfer_matrix returns."
        )
    if len(frame) == 0:
        raise InvalidValueError("frame has no rows.")
    keys = frame[list(_NEEDED)].astype({"source": object})
    repeated = keys.fillna({"source": ""}).duplicated()
    if repeated.any():
        row = frame[repeated].iloc[0]
        raise InvalidValueError(
            "frame has a fit twice: "
            f"{ {name: row[name] for name in _NEEDED} }. Select one experiment."
        )
    return frame


def spread_of(values: ArrayLike, spread: str, level: float) -> tuple[float, ...]:
    """Mean of trials, and the ends of its t interval or of one standard deviation.

    A single trial has no spread: its ends are NaN.
    """
    values = np.asarray(values, dtype=float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, np.nan, np.nan
    half = float(values.std(ddof=1))
    if spread == "interval":
        half *= student_t.ppf((1 + level) / 2, len(values) - 1) / np.sqrt(len(values))
    return mean, mean - half, mean + half
