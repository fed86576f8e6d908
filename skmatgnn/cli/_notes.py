"""Warnings of the libraries, shown as one line each and kept for the report."""

from __future__ import annotations

import sys
import warnings
from typing import Any, Self

__all__ = ["Notes"]


class Notes:
    """Collect remarks; within the context, every UserWarning is one.

    Attributes
    ----------
    texts : list of str
        The remarks so far, each once.
    interrupted : bool
        Whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.interrupted = False
        self._caught = warnings.catch_warnings()

    def add(self, text: str) -> None:
        """Show a remark on stderr and keep it, unless it was made before.

        Parameters
        ----------
        text : str
            The remark.
        """
        if text in self.texts:
            return
        self.texts.append(text)
        # tqdm is imported by now if a bar is on the screen, which must not be torn.
        tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
        if tqdm is None:
            sys.stderr.write(f"skmatgnn: note: {text}\n")
        else:
            tqdm.write(f"skmatgnn: note: {text}", file=sys.stderr)

    def __enter__(self) -> Self:
        self._caught.__enter__()
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning)
        warnings.showwarning = self._show
        return self

    def __exit__(self, *_: object) -> None:
        self._caught.__exit__(None, None, None)

    def _show(self, message: Any, *_: Any, **__: Any) -> None:
        self.add(str(message))
