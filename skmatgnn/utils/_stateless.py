"""What transformers share that learn nothing from the objects they are given."""

from __future__ import annotations

from typing import Any

__all__ = ["StatelessMixin"]


class StatelessMixin:
    """Tell scikit-learn that no ``fit`` is needed, and that X is no table of numbers.

    To be named before scikit-learn's own mixins.
    """

    def __sklearn_tags__(self) -> Any:
        above: Any = super()
        tags = above.__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True
