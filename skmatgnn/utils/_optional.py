"""Imports of packages that belong to an extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["import_optional"]


def import_optional(module: str, *, extra: str, purpose: str) -> Any:
    """Import ``module`` or say which extra brings it.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    extra : str
        Extra of skmatgnn that installs it.
    purpose : str
        What it is needed for, as the subject of the error's sentence.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    ImportError
        If the module is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'skmatgnn[{extra}]'"
        ) from error
