"""Words and numbers that are written into the displays."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from skmatgnn.utils.elements import ELEMENT_SYMBOLS

_LONGEST = 18
_SYMBOLS = frozenset(ELEMENT_SYMBOLS[1:])
_FORMULA = re.compile(r"(?:[A-Z][a-z]?|[()\[\]]|\d+(?:\.\d+)?)+")
_AMOUNT = re.compile(r"(?<=[A-Za-z)\]])(\d+(?:\.\d+)?)")


def name_of(values: Any, given: str | None) -> str | None:
    """Take the name of a Series where none is given."""
    name = getattr(values, "name", None)
    return name if given is None and isinstance(name, str) else given


def natural_key(name: str) -> tuple[str, float, str]:
    """Order "fold 10" after "fold 9"."""
    head, _, tail = name.rpartition(" ")
    try:
        return head, float(tail), ""
    except ValueError:
        return name, 0.0, tail


def shorten(name: str, longest: int = _LONGEST) -> str:
    """Cut a name to what a legend has room for."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def lower_first(name: str) -> str:
    """Write "Band gap" as it stands in a sentence, but leave "MAE" and "E_form"."""
    if len(name) > 1 and name[0].isupper() and name[1].islower():
        return name[0].lower() + name[1:]
    return name


def with_unit(name: str, units: str | None) -> str:
    """Label an axis with a property and its unit."""
    return f"{name} ({units})" if units else name


def three_digits(value: float) -> str:
    """Write a number with three significant digits, without an exponent if short."""
    if value == 0 or not np.isfinite(value) or not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    decimals = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:,.{decimals}f}"


def pretty(name: Any) -> str:
    """Write a label for matplotlib: amounts of a formula as subscripts.

    Examples
    --------
    >>> from skmatgnn.inspection._text import pretty
    >>> pretty("Li3Fe2(PO4)3"), pretty("cluster 3")
    ('Li$_{3}$Fe$_{2}$(PO$_{4}$)$_{3}$', 'cluster 3')
    """
    text = str(name)
    symbols = re.findall("[A-Z][a-z]?", text)
    if _FORMULA.fullmatch(text) and symbols and _SYMBOLS.issuperset(symbols):
        return _AMOUNT.sub(r"$_{\1}$", text)
    return text.replace("$", r"\$")
