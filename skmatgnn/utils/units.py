"""Units in which numbers of any size can be squared and added up."""

from __future__ import annotations

import numpy as np

__all__ = ["binary_unit"]


def binary_unit(size: np.ndarray | float) -> np.ndarray:
    """Give the power of two that brings sizes to between one and two.

    Division by it and multiplication with it are exact, so that what is computed in
    between has the same digits as without.

    Parameters
    ----------
    size : ndarray or float
        Not negative.

    Returns
    -------
    ndarray
        Of the same shape; positive also where the size is zero.

    Examples
    --------
    >>> from skmatgnn.utils.units import binary_unit
    >>> float(binary_unit(5.0)), float(binary_unit(1e-320)) > 0
    (4.0, True)
    """
    return np.ldexp(1.0, np.frexp(size)[1] - 1)
