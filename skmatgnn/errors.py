"""Exceptions of the package; each is also the built-in that users expect."""

from __future__ import annotations

__all__ = [
    "DownloadError",
    "InvalidTypeError",
    "InvalidValueError",
    "SkmatgnnError",
    "TooLargeError",
    "WorkerLostError",
]


class SkmatgnnError(Exception):
    """Base of all errors that the package raises on purpose."""


class InvalidValueError(SkmatgnnError, ValueError):
    """A value of the right type that cannot be used."""


class InvalidTypeError(SkmatgnnError, TypeError):
    """An object of a type that cannot be used."""


class DownloadError(SkmatgnnError, OSError):
    """A file that could not be had from the network."""


class TooLargeError(SkmatgnnError, MemoryError):
    """What was asked for does not fit into the memory of the device."""


class WorkerLostError(SkmatgnnError, RuntimeError):
    """A process that did part of the work was killed."""
