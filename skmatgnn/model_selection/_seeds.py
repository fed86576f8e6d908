"""Seeds of repeated fits."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from sklearn.base import clone

__all__ = ["derived_seed", "seeded_clone"]


def seeded_clone(estimator: Any, seed: int) -> Any:
    """Clone, and seed every ``random_state`` that is None."""
    model = clone(estimator)
    parameters = model.get_params()
    unset = [
        name
        for name, value in parameters.items()
        if value is None and name.split("__")[-1] == "random_state"
    ]
    return model.set_params(**dict.fromkeys(unset, seed)) if unset else model


def derived_seed(seed: int, *names: Any) -> int:
    """Make a seed of its own for what is named, whatever else there is."""
    return int.from_bytes(sha256(repr((seed, *names)).encode()).digest()[:4]) >> 1
