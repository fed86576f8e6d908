"""Where scikit-learn's HTML display takes parameter descriptions from."""

from __future__ import annotations

__all__ = ["DocLinkMixin"]


class DocLinkMixin:
    """Let scikit-learn show the text of our parameters and fitted attributes.

    It does so for a class whose ``_doc_link_module`` is its package and that has a
    link template.
    """

    _doc_link_module = "skmatgnn"
    _doc_link_template = "https://skmatgnn.readthedocs.io/en/stable/api.html"
