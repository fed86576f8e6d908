"""Where scikit-learn's HTML display takes parameter descriptions from."""

from __future__ import annotations

from typing import Any

__all__ = ["DocLinkMixin"]


class DocLinkMixin:
    """Let scikit-learn show the text of our parameters and fitted attributes.

    It shows them only where there is a link to a page of documentation, as links. Ours
    are on no server: the display as a whole has no link, and the names in its tables
    lead to where they are.
    """

    _doc_link_module = "skmatgnn"
    _doc_link_template = ""

    def _get_params_html(self, *args: Any, **kwargs: Any) -> Any:
        above: Any = super()
        return _shown(above._get_params_html(*args, **kwargs))  # noqa: SLF001

    def _get_fitted_attr_html(self, *args: Any, **kwargs: Any) -> Any:
        above: Any = super()
        return _shown(above._get_fitted_attr_html(*args, **kwargs))  # noqa: SLF001


def _shown(table: Any) -> Any:
    if getattr(table, "doc_link", None) == "":
        table.doc_link = "#"
    return table
