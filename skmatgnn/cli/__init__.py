"""The ``skmatgnn`` command: benchmark, fit and predict without writing Python."""

from __future__ import annotations

from skmatgnn.cli._main import main

__all__ = ["main"]
