"""Seeds of repeated fits."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from skmatgnn.utils._seeds import seeded_clone

__all__ = ["derived_seed", "seeded_clone"]


def derived_seed(seed: int, *names: Any) -> int:
    """Make a seed of its own for what is named, whatever else there is."""
    return int.from_bytes(sha256(repr((seed, *names)).encode()).digest()[:4]) >> 1
