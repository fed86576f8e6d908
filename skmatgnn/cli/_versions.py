"""The versions that results and models depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from skmatgnn import __version__

__all__ = ["package_versions"]

_PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pymatgen",
    "matminer",
    "torch",
    "skorch",
)


def package_versions() -> dict[str, str]:
    """List the versions that a result depends on.

    Returns
    -------
    dict of str to str
    """
    found = {"python": platform.python_version(), "skmatgnn": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
