"""Seeds: of repeated fits, and of the estimators inside another one."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from sklearn.base import clone

__all__ = ["MAX_SEED", "derived_seed", "seeded_clone", "seeds_of"]

MAX_SEED = 2**31 - 1  # below which every library takes a seed


def derived_seed(seed: int, *names: Any) -> int:
    """Make a seed of its own for what is named, whatever else there is."""
    return int.from_bytes(sha256(repr((seed, *names)).encode()).digest()[:4]) >> 1


def seeds_of(estimator: Any) -> dict[str, Any]:
    """Find every ``random_state`` of an estimator and of those inside it."""
    return {
        name: value
        for name, value in estimator.get_params().items()
        if name.split("__")[-1] == "random_state"
    }


def seeded_clone(estimator: Any, seed: int, *, replace: bool = False) -> Any:
    """Clone, and seed every ``random_state`` that is None, or all of them."""
    model = clone(estimator)
    chosen = [k for k, value in seeds_of(model).items() if replace or value is None]
    return model.set_params(**dict.fromkeys(chosen, seed)) if chosen else model
