"""Faster ways on the GPU that are still to be measured, off unless asked for."""

from __future__ import annotations

import os

__all__ = ["TRIALS", "VARIABLE", "trial"]

VARIABLE = "SKMATGNN_TRIALS"
TRIALS = {
    "adamw": 1,  # one launch for all parameters
    "residual": 1,  # a gradient's product and what it is added to, in one kernel
    "table": 8192,  # so many angles are embedded, and each takes the nearest one
}


def trial(name: str) -> int:
    """Look up whether a trial is on.

    Parameters
    ----------
    name : str
        One of ``TRIALS``. The environment variable ``SKMATGNN_TRIALS`` names those
        that are on, as ``adamw,table=4096``, or ``all``.

    Returns
    -------
    int
        Its number, as ``TRIALS`` says or the variable; 0 if it is off.
    """
    for entry in os.environ.get(VARIABLE, "").split(","):
        found, _, number = entry.strip().partition("=")
        if found in (name, "all"):
            return int(number) if number else TRIALS[name]
    return 0
