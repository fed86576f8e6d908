"""Scores as texts, the same on the screen, in figures and in the report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["SHOWN_SCORES", "digits", "with_interval"]


def digits(value: float) -> str:
    """Write four significant digits, without an exponent where that is readable.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    str
    """
    if value == 0 or not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3e}" if value else "0"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


#: How the scores of the tables are written, by their names.
SHOWN_SCORES: dict[str, Callable[[float], str]] = {
    "mae": digits,
    "smae": "{:.3f}".format,
    "r2": "{:.3f}".format,
}


def with_interval(
    value: float | None, interval: Sequence[float] | None, text: Callable[[float], str]
) -> str:
    """Write a score and, if there is one, its interval.

    Parameters
    ----------
    value : float or None
        The score; None or NaN is undefined.
    interval : (low, high) or None
        Its interval.
    text : callable
        Writes one number.

    Returns
    -------
    str
    """
    if value is None or math.isnan(value):
        return "-"
    if interval is None or any(end is None for end in interval):
        return text(value)
    low, high = map(text, interval)
    return f"{text(value)} [{low}, {high}]"
