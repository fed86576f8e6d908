"""Warnings of other packages, hidden or kept, also while other threads run.

``warnings.catch_warnings`` sets back the filters of the whole process to those that it
found: of two threads that overlap, the one that ends last may leave the filters of the
other for ever. Here the first to begin saves them and the last to end restores them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from typing import Any

__all__ = ["recorded_warnings", "without_warnings"]


class _SharedFilters:
    """Filters that are there as long as any thread needs some."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_users = 0
        self._saved: Any = None
        self._recorders: dict[int, list[list[warnings.WarningMessage]]] = {}

    @contextmanager
    def added(self, action: Any, category: type[Warning], pattern: str) -> Iterator:
        with self._lock:
            if not self._n_users:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.showwarning = self._to_recorder(warnings.showwarning)
            self._n_users += 1
            warnings.filterwarnings(action, pattern, category)
        try:
            yield
        finally:
            with self._lock:
                self._n_users -= 1
                if not self._n_users:
                    self._saved.__exit__(None, None, None)

    @contextmanager
    def recorder(self) -> Iterator[list[warnings.WarningMessage]]:
        own = self._recorders.setdefault(get_ident(), [])
        found: list[warnings.WarningMessage] = []
        own.append(found)
        try:
            yield found
        finally:
            own.pop()
            if not own:
                del self._recorders[get_ident()]

    def _to_recorder(self, otherwise: Any) -> Any:
        def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
            own = self._recorders.get(get_ident())
            if own:
                found = warnings.WarningMessage(message, category, *where, **more)
                own[-1].append(found)
            else:
                otherwise(message, category, *where, **more)

        return show


_SHARED = _SharedFilters()


@contextmanager
def without_warnings(
    category: type[Warning] = Warning, pattern: str = ""
) -> Iterator[None]:
    """Hide warnings that say nothing to our users, safely among threads.

    Other threads do not see these warnings meanwhile either.

    Parameters
    ----------
    category : type, default=Warning
        With its subclasses.
    pattern : str, default=""
        Regular expression that the text must begin with.

    Yields
    ------
    None

    Examples
    --------
    >>> import warnings
    >>> from skmatgnn.utils.warning_filters import without_warnings
    >>> with without_warnings(DeprecationWarning):
    ...     warnings.warn("changes soon", DeprecationWarning)
    """
    with _SHARED.added("ignore", category, pattern):
        yield


@contextmanager
def recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Keep the warnings of this thread instead of showing them.

    Yields
    ------
    list of warnings.WarningMessage
        Grows while the context lasts.

    Examples
    --------
    >>> import warnings
    >>> from skmatgnn.utils.warning_filters import recorded_warnings
    >>> with recorded_warnings() as found:
    ...     warnings.warn("three atoms overlap")
    >>> [str(warning.message) for warning in found]
    ['three atoms overlap']
    """
    with _SHARED.added("always", Warning, ""), _SHARED.recorder() as found:
        yield found
