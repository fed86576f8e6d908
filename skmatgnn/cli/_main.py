"""Entry point: choose the command, turn expected failures into one message."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from skmatgnn.cli._notes import Notes
from skmatgnn.cli._parser import make_parser
from skmatgnn.errors import SkmatgnnError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["main"]

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
_MODULES = {
    "benchmark": "skmatgnn.cli._benchmark",
    "finetune": "skmatgnn.cli._finetune",
    "fit": "skmatgnn.cli._fit",
    "predict": "skmatgnn.cli._predict",
    "pretrain": "skmatgnn.cli._pretrain",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``skmatgnn`` command.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        Arguments after the program's name; None takes those of the process.

    Returns
    -------
    int
        Exit code: 0, 2 for bad arguments or bad input (with a message on stderr), 130
        after Ctrl-C, 1 where the reader of stdout went away.

    Examples
    --------
    >>> from skmatgnn.cli import main
    >>> main(["--version"])
    skmatgnn 0.1.0
    0
    """
    try:
        options = make_parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed its message or the help
        return int(stop.code or 0)
    run = import_module(_MODULES[options.command]).run
    try:
        with Notes() as notes, _watched_interrupts(notes):
            return run(options, notes)
    except BrokenPipeError:
        # Python would otherwise complain when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (SkmatgnnError, OSError) as error:
        sys.stderr.write(f"skmatgnn: error: {error}\n")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("\nskmatgnn: interrupted; no results were written\n")
        return EXIT_INTERRUPTED


@contextmanager
def _watched_interrupts(notes: Notes) -> Iterator[None]:
    """Remember Ctrl-C: a training loop ends at it and keeps its model, silently."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: Any) -> None:
        notes.interrupted = True
        signal.default_int_handler(signum, frame)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
