"""Element features as a table over atomic numbers."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np

from skmatgnn.errors import InvalidValueError
from skmatgnn.utils.elements import cgcnn_element_features

__all__ = ["element_signature", "element_table"]

N_ELEMENTS = 118


def element_table(features: Any) -> np.ndarray:
    """Resolve the ``element_features`` parameter.

    Parameters
    ----------
    features : {"cgcnn", "one_hot"} or array-like of shape (n_elements + 1, d)
        Row ``Z`` of an array describes the element of atomic number ``Z``; a row
        with NaN marks an element that cannot be used.

    Returns
    -------
    ndarray of shape (n_elements + 1, d), float64

    Raises
    ------
    InvalidValueError
        If it is an array of another shape, or not of numbers.
    """
    if isinstance(features, str):
        if features == "one_hot":
            table = np.eye(N_ELEMENTS + 1)
            table[0] = np.nan
            return table
        return cgcnn_element_features()
    try:
        table = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            "element_features must be 'cgcnn', 'one_hot' or a table of numbers; could "
            f"not convert it ({error})."
        ) from error
    if table.ndim != 2 or len(table) < 2 or table.shape[1] == 0:
        raise InvalidValueError(
            "element_features must have one row for each atomic number, starting with "
            f"an unused row 0, and at least one column; got shape {table.shape}."
        )
    return table


def element_signature(features: Any) -> str:
    """Identify element features by their name or their values.

    Parameters
    ----------
    features : str or array-like

    Returns
    -------
    str
    """
    if isinstance(features, str):
        return features
    return sha256(element_table(features).tobytes()).hexdigest()
