"""Figures of how a model does, in the manner of scikit-learn's displays."""

from __future__ import annotations

from skmatgnn.inspection._parity import ParityDisplay

__all__ = ["ParityDisplay"]
