"""The one place that imports DGL.

The newest DGL on the package index, 2.1.0, does not import with a current torch: on
its way it imports its own ``dgl.graphbolt``, a loader of graphs from disk, which needs
parts of torchdata that no longer exist and a library compiled for torch 2.2 at the
latest. Nothing here uses it.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from skmatgnn.utils._optional import import_optional

__all__ = ["import_dgl"]

NO_BUILD = (3, 13)  # as the extra in setup.cfg says
_GRAPHBOLT = "dgl.graphbolt"
_BACKEND = "DGLBACKEND"
_lock = threading.Lock()


class _Absent(ModuleType):
    """Stands for a module while another imports it, and has nothing in it."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{self.__name__}.{name} was left out when skmatgnn imported dgl. To use "
            "it, import dgl before skmatgnn does, with a torch that it supports."
        )


def import_dgl(*, purpose: str) -> Any:
    """Import DGL without its GraphBolt, or give the DGL that is imported already.

    While DGL is imported, an empty module stands for ``dgl.graphbolt`` and the
    environment variable ``DGLBACKEND`` is set to ``pytorch`` (without it DGL writes a
    file into the home directory). Both are put back afterwards, so that neither other
    packages nor child processes see them, and a later ``import dgl.graphbolt`` finds
    the real one.

    Parameters
    ----------
    purpose : str
        What it is needed for, as the subject of the error's sentence.

    Returns
    -------
    module
        ``dgl``.

    Raises
    ------
    ImportError
        If it is not installed, or does not import.

    Notes
    -----
    In a process where this comes first, DGL's distributed training and its GraphBolt
    samplers do not work.

    Examples
    --------
    >>> from skmatgnn.utils._dgl import import_dgl
    >>> dgl = import_dgl(purpose="The example")  # doctest: +SKIP
    """
    with _lock:
        module = sys.modules.get("dgl")
        if module is not None:
            return module
        if find_spec("dgl") is None:
            if sys.version_info >= NO_BUILD:
                raise ImportError(
                    f"{purpose} needs the package 'dgl', of which the package index "
                    "has no build for this Python. Take Python 3.11 or 3.12, and: "
                    "pip install 'skmatgnn[dgl]'"
                )
            return import_optional("dgl", extra="dgl", purpose=purpose)
        with _without_graphbolt(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own old syntax
            try:
                return importlib.import_module("dgl")
            except (ImportError, OSError, AttributeError) as error:
                raise ImportError(
                    f"{purpose} needs dgl, which is installed but cannot be imported "
                    f"({type(error).__name__}: {error}). Install the version that is "
                    "tested with: pip install 'skmatgnn[dgl]'"
                ) from error


@contextmanager
def _without_graphbolt() -> Iterator[None]:
    stand_in = _Absent(_GRAPHBOLT)
    backend = os.environ.get(_BACKEND)
    sys.modules[_GRAPHBOLT] = stand_in
    os.environ[_BACKEND] = "pytorch"
    try:
        yield
    finally:
        if sys.modules.get(_GRAPHBOLT) is stand_in:
            del sys.modules[_GRAPHBOLT]
        if backend is None:
            del os.environ[_BACKEND]
        else:
            os.environ[_BACKEND] = backend
