"""Loops that Numba compiles where it is installed; all has a plain way beside it."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["compiled_module"]


@cache
def compiled_module(name: str, purpose: str) -> Any:
    """Import a module of compiled loops, once it is known that they run here.

    Parameters
    ----------
    name : str
        Dotted name of a module that imports Numba and has a function ``probe``.
    purpose : str
        What is computed without it where Numba fails, for the warning.

    Returns
    -------
    module or None
        None where Numba is not installed, or fails.
    """
    if find_spec("numba") is None:
        return None
    try:
        module = import_module(name)
        module.probe()
    except Exception as error:  # noqa: BLE001 - a broken toolchain fails in many ways
        warnings.warn(
            f"Numba does not work here ({type(error).__name__}: {error}); {purpose} "
            "without it. Uninstall it to silence this.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return module
