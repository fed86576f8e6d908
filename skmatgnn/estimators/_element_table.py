"""Element features as a table over atomic numbers."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np

from skmatgnn.errors import InvalidValueError
from skmatgnn.utils.elements import (
    N_ELEMENTS,
    cgcnn_element_features,
    magpie_element_table,
    matscholar_element_features,
)

__all__ = ["element_signature", "element_table", "standardised"]


def element_table(features: Any) -> np.ndarray:
    """Resolve the ``element_features`` parameter.

    Parameters
    ----------
    features : {"cgcnn", "one_hot", "matscholar", "magpie"} or array-like
        An array has the shape (n_elements + 1, d).
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
        return NAMED_TABLES[features]()
    try:
        table = np.array(features, dtype=np.float64, order="C")  # torch's only one
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            "element_features must be one of the names or a table of numbers; could "
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


def standardised(table: np.ndarray) -> np.ndarray:
    """Bring the columns of a table to mean zero and variance one over the elements.

    Parameters
    ----------
    table : ndarray of shape (n_elements + 1, d)
        NaN in the rows of elements that cannot be used.

    Returns
    -------
    ndarray of shape (n_elements + 1, d)
        Constant columns are zero.
    """
    known = table[np.isfinite(table).all(axis=1)]
    if len(known) == 0:
        return table
    spread = known.std(axis=0)
    return (table - known.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _one_hot() -> np.ndarray:
    table = np.eye(N_ELEMENTS + 1)
    table[0] = np.nan
    return table


def _magpie() -> np.ndarray:
    known = np.isfinite(magpie_element_table()).mean(axis=1) > MOST
    return np.where(known[:, None], magpie_element_table(impute_nan=True), np.nan)


MOST = 0.5
NAMED_TABLES: dict[str, Callable[[], np.ndarray]] = {
    "cgcnn": cgcnn_element_features,
    "one_hot": _one_hot,
    "matscholar": matscholar_element_features,
    "magpie": _magpie,
}
