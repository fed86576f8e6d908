"""Reading of one composition-like object, with a reason where it cannot be read."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from skmatgnn.utils.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS
from skmatgnn.utils.validation import is_missing

__all__ = ["UnusableError", "amounts_of"]

AMOUNT_TOLERANCE = 1e-8  # pymatgen drops smaller amounts

_BRACKETS = str.maketrans("[]{}", "()()", "@")  # "Y3N@C80" is a cage around Y3N
_PART = re.compile(
    r"\s*(?:"
    r"(?P<symbol>[A-Z][a-z]*)\s*(?P<amount>[-*.e0-9]*)"
    r"|(?P<open>\()"
    r"|(?P<close>\))\s*(?P<factor>[.e0-9]*)"
    r")\s*"
)
_CHARGED = re.compile(r"([A-Z][a-z]?)\d*\.?\d*[+-]")


class UnusableError(Exception):
    """Reason why one sample is no composition; the caller adds the index.

    Parameters
    ----------
    reason : str
        What is wrong, as the end of a sentence.
    wrong_type : bool, default=False
        Whether the object's type, not its value, is at fault.
    """

    def __init__(self, reason: str, *, wrong_type: bool = False) -> None:
        super().__init__(reason)
        self.wrong_type = wrong_type


def amounts_of(item: Any) -> dict[int, float]:
    """Amounts by atomic number of one sample.

    Parameters
    ----------
    item : str, Composition, Structure, ase.Atoms or dict
        The sample.

    Returns
    -------
    dict of int to float
        Positive amounts, at least one.

    Raises
    ------
    UnusableError
        If the sample has no usable composition.
    """
    if isinstance(item, str):
        amounts = _read_formula(item)
    elif isinstance(item, Mapping):
        amounts = _read_items(item.items())
    elif isinstance(getattr(item, "composition", None), Mapping):
        amounts = _read_items(item.composition.items())
    elif hasattr(item, "get_atomic_numbers"):
        numbers, counts = np.unique(item.get_atomic_numbers(), return_counts=True)
        amounts = _read_items(zip(numbers.tolist(), counts.tolist(), strict=True))
    else:
        raise UnusableError(_reason_for_type(item), wrong_type=True)
    return _require_usable(amounts)


def _reason_for_type(item: Any) -> str:
    if is_missing(item):
        return (
            "a missing value, no composition (pandas reads the formula NaN as missing "
            "unless told keep_default_na=False)"
        )
    if isinstance(item, bytes):
        return "bytes, no text; decode it first"
    return "no composition"


def _require_usable(amounts: Mapping[int, float]) -> dict[int, float]:
    for number, amount in amounts.items():
        if not math.isfinite(amount):
            raise UnusableError(
                f"amount {amount} of {ELEMENT_SYMBOLS[number]} is not finite"
            )
        if amount < -AMOUNT_TOLERANCE:
            raise UnusableError(
                f"negative amount {amount:g} of {ELEMENT_SYMBOLS[number]}"
            )
    kept = {z: amount for z, amount in amounts.items() if amount >= AMOUNT_TOLERANCE}
    if not kept:
        raise UnusableError("it holds no atoms (the amounts add up to zero)")
    if not math.isfinite(sum(kept.values())):
        raise UnusableError("the sum of its amounts is not finite")
    return kept


def _read_items(items: Iterable[tuple[Any, Any]]) -> dict[int, float]:
    amounts: dict[int, float] = defaultdict(float)
    for key, amount in items:
        number = _atomic_number(key)
        if isinstance(amount, bool) or not isinstance(amount, Real):
            raise UnusableError(
                f"the amount of {ELEMENT_SYMBOLS[number]} is {amount!r}, not a number"
            )
        amounts[number] += float(amount)
    return amounts


def _atomic_number(key: Any) -> int:
    number: Any = None
    if isinstance(key, str):
        charged = _CHARGED.fullmatch(key)
        number = ATOMIC_NUMBERS.get(charged[1] if charged else key)
    elif isinstance(key, Integral):
        number = int(key)
    else:
        # By symbol, since pymatgen's DummySpecies has a made-up Z.
        number = ATOMIC_NUMBERS.get(getattr(key, "symbol", ""))
    if number is None or not 1 <= number <= N_ELEMENTS:
        raise UnusableError(f"unknown element {str(key)!r}")
    return number


def _read_formula(formula: str) -> dict[int, float]:
    text = formula.translate(_BRACKETS)
    if not text.strip():
        raise UnusableError("an empty formula")
    groups: list[dict[int, float]] = [defaultdict(float)]
    place = 0
    while place < len(text):
        part = _PART.match(text, place)
        if part is None:
            raise UnusableError(_reason_for_rest(text, place))
        if part["symbol"]:
            number = ATOMIC_NUMBERS.get(part["symbol"])
            if number is None:
                raise UnusableError(f"unknown element {part['symbol']!r}")
            groups[-1][number] += _amount(part["amount"], after=part["symbol"])
        elif part["open"]:
            groups.append(defaultdict(float))
        else:
            _close_group(groups, _amount(part["factor"], after="a bracket"))
        place = part.end()
    if len(groups) > 1:
        raise UnusableError("a bracket is opened but not closed")
    return groups[0]


def _close_group(groups: list[dict[int, float]], factor: float) -> None:
    if len(groups) == 1:
        raise UnusableError("a bracket is closed but not opened")
    group = groups.pop()
    if not group:
        raise UnusableError("a pair of brackets is empty")
    for number, amount in group.items():
        groups[-1][number] += amount * factor


def _amount(text: str, *, after: str) -> float:
    if not text:
        return 1.0
    try:
        return float(text)
    except ValueError:
        raise UnusableError(f"cannot read the amount {text!r} after {after}") from None


def _reason_for_rest(text: str, place: int) -> str:
    rest = text[place:].strip()
    if rest[0] in "·•⋅∙":
        hint = "; write water of hydration in brackets, as in CuSO4(H2O)5"
    elif rest[0] in "+-":
        hint = "; leave out charges"
    elif rest[0].islower():
        hint = "; symbols begin with a capital letter"
    elif rest[0] in "₀₁₂₃₄₅₆₇₈₉":
        hint = "; write amounts with plain digits"
    else:
        hint = ""
    return f"cannot read {rest[:20]!r} at position {place}{hint}"
