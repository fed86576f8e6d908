"""Compositions as flat arrays, read from formulas and other objects.

A formula is read in two ways. All plain formulas of a call ("LiFePO4",
"Fe0.5Ni0.5O1.25", "Ca3(PO4)2") are cut into tokens by one regular expression over
their joined text, and each distinct token is understood once. Whatever does not fit,
such as nested brackets, is read alone by a small parser, which also gives the reason
when it cannot be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.preprocessing._formula_parser import (
    AMOUNT_TOLERANCE,
    UnusableError,
    amounts_of,
)
from skmatgnn.utils.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS
from skmatgnn.utils.ragged import row_pointers
from skmatgnn.utils.validation import describe, ensure_object_array, is_bare_sample

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, IntArray

__all__ = [
    "PackedCompositions",
    "ensure_composition_objects",
    "find_unusable_compositions",
    "parse_compositions",
]

N_REPORTED = 5
_AT_ONCE = 2**16  # the tokens of one formula take fifty times what is kept of it

_TOKEN = re.compile(r"[A-Z][a-z]*[0-9.]* ?|[)\]][0-9.]* ?|[^\n]|\n")
_PARTS = re.compile(r"([A-Z][a-z]*|[)\]])([0-9.]*) ?")
_END, _ODD, _OPEN, _CLOSE = -1, -2, -3, -4  # in place of an atomic number


@dataclass(frozen=True)
class PackedCompositions:
    """Compositions as flat arrays with row pointers.

    Parameters
    ----------
    row_ptr : ndarray of shape (n + 1,), int64
        Entries ``row_ptr[i]:row_ptr[i + 1]`` belong to composition ``i``.
    atomic_numbers : ndarray of shape (n_entries,), int16
        Elements, ascending and without repetition within a composition.
    amounts : ndarray of shape (n_entries,), float64
        Their amounts as written (not normalised), all above 1e-8.

    Examples
    --------
    >>> from skmatgnn.preprocessing._formula import parse_compositions
    >>> packed = parse_compositions(["Fe2O3", "NaCl"])
    >>> packed.atomic_numbers.tolist(), packed.amounts.tolist()
    ([8, 26, 11, 17], [3.0, 2.0, 1.0, 1.0])
    >>> packed.fractions.tolist()
    [0.6, 0.4, 0.5, 0.5]
    """

    row_ptr: IntArray
    atomic_numbers: IntArray
    amounts: FloatArray

    def __len__(self) -> int:
        """Return the number of compositions."""
        return len(self.row_ptr) - 1

    @property
    def counts(self) -> IntArray:
        """Number of distinct elements of each composition, shape (n,)."""
        return np.diff(self.row_ptr)

    @property
    def rows(self) -> IntArray:
        """Composition that each entry belongs to, shape (n_entries,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def totals(self) -> FloatArray:
        """Sum of the amounts of each composition, shape (n,)."""
        return np.add.reduceat(self.amounts, self.row_ptr[:-1])

    @property
    def fractions(self) -> FloatArray:
        """Atomic fraction of each entry, shape (n_entries,)."""
        return self.amounts / np.repeat(self.totals, self.counts)

    def as_dict(self, index: int) -> dict[str, float]:
        """Amounts of one composition by element symbol.

        Parameters
        ----------
        index : int
            Which composition, counted from 0.

        Returns
        -------
        dict of str to float
        """
        entries = slice(self.row_ptr[index], self.row_ptr[index + 1])
        return {
            ELEMENT_SYMBOLS[z]: float(amount)
            for z, amount in zip(
                self.atomic_numbers[entries], self.amounts[entries], strict=True
            )
        }


def parse_compositions(X: Any) -> PackedCompositions:
    """Read formulas and other composition-like objects into flat arrays.

    Parameters
    ----------
    X : sequence of str, Composition, Structure, ase.Atoms or dict
        The samples, in any container that scikit-learn hands around. Formulas are
        read as pymatgen reads them (brackets, fractional amounts; deuterium and
        tritium are hydrogen; oxidation states of objects are ignored).

    Returns
    -------
    PackedCompositions

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If a sample cannot be used. All such samples are counted in one message,
        the first ones with their index and reason; the type is that of the first.

    Examples
    --------
    >>> from skmatgnn.preprocessing._formula import parse_compositions
    >>> parse_compositions(["Ca3(PO4)2"]).as_dict(0)
    {'O': 8.0, 'P': 2.0, 'Ca': 3.0}
    """
    items = ensure_composition_objects(X)
    packed, failures = _parse(items)
    if failures:
        raise _summary_error(items, failures)
    return packed


def find_unusable_compositions(X: Any) -> dict[int, str]:
    """List the samples that `parse_compositions` would reject.

    Parameters
    ----------
    X : sequence
        As for `parse_compositions`.

    Returns
    -------
    dict of int to str
        The reason for each rejected sample, by its index.

    Examples
    --------
    >>> from skmatgnn.preprocessing._formula import find_unusable_compositions
    >>> find_unusable_compositions(["NaCl", "Xx2O"])
    {1: "unknown element 'Xx'"}
    """
    _, failures = _parse(ensure_composition_objects(X))
    return {index: str(reason) for index, reason in failures.items()}


def ensure_composition_objects(X: Any) -> np.ndarray:
    """Convert X to a 1-D object array, rejecting a bare formula or structure.

    Parameters
    ----------
    X : sequence
        The samples; they are not looked into.

    Returns
    -------
    ndarray of shape (n,), dtype object
    """
    what = "formulas or compositions"
    if is_bare_sample(X):
        raise InvalidTypeError(
            f"X must be a sequence of {what}; got a bare {describe(X)}. "
            "Put a single sample into a list: [x]."
        )
    return ensure_object_array(X, what=what, single=(str,))


def _parse(items: np.ndarray) -> tuple[PackedCompositions, dict[int, UnusableError]]:
    parts: list[PackedCompositions] = []
    failures: dict[int, UnusableError] = {}
    for start in range(0, max(len(items), 1), _AT_ONCE):
        packed, failed = _parse_part(items[start : start + _AT_ONCE])
        parts.append(packed)
        failures.update((start + index, reason) for index, reason in failed.items())
    if len(parts) == 1:
        return parts[0], failures
    columns = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("counts", "atomic_numbers", "amounts")
    )
    counts, numbers, amounts = columns
    return PackedCompositions(row_pointers(counts), numbers, amounts), failures


def _parse_part(
    items: np.ndarray,
) -> tuple[PackedCompositions, dict[int, UnusableError]]:
    rows, numbers, amounts, alone = _read_plain(items)
    extra: list[tuple[int, int, float]] = []
    failures: dict[int, UnusableError] = {}
    for index in alone:
        try:
            read = amounts_of(items[index])
        except UnusableError as error:
            failures[int(index)] = error
        else:
            extra.extend((index, z, amount) for z, amount in read.items())
    if extra:
        more_rows, more_numbers, more_amounts = zip(*extra, strict=True)
        rows = np.concatenate([rows, np.asarray(more_rows, dtype=np.int64)])
        numbers = np.concatenate([numbers, np.asarray(more_numbers, dtype=np.int64)])
        amounts = np.concatenate([amounts, np.asarray(more_amounts, dtype=np.float64)])
    return _pack(rows, numbers, amounts, len(items)), failures


def _read_plain(
    items: np.ndarray,
) -> tuple[IntArray, IntArray, FloatArray, IntArray]:
    """Read all plain formulas at once; name the samples to be read one by one."""
    is_text = np.fromiter(
        (isinstance(item, str) for item in items), dtype=bool, count=len(items)
    )
    places = np.flatnonzero(is_text)
    pieces = _TOKEN.findall(_one_line_each(items[places]))
    vocabulary = _Vocabulary()
    codes = np.fromiter(map(vocabulary.__getitem__, pieces), np.int64, len(pieces))
    kinds, values = vocabulary.arrays()
    numbers, amounts = kinds[codes], values[codes]

    is_end, is_entry = numbers == _END, numbers > 0
    line = np.cumsum(is_end) - is_end
    odd = line[numbers == _ODD]
    if _OPEN in kinds or _CLOSE in kinds:
        factors, unbalanced = _bracket_factors(numbers, amounts, line)
        amounts = amounts * factors
        odd = np.concatenate([odd, unbalanced])
    total = np.bincount(line[is_entry], amounts[is_entry], minlength=len(places))
    plain = np.isfinite(total) & (total >= AMOUNT_TOLERANCE)
    plain[odd] = False
    keep = is_entry & plain[line]
    alone = np.concatenate([np.flatnonzero(~is_text), places[~plain]])
    return places[line[keep]], numbers[keep], amounts[keep], np.sort(alone)


def _one_line_each(formulas: np.ndarray) -> str:
    text = "\n".join([*formulas, ""])
    if text.count("\n") != len(formulas):
        text = "\n".join([*(item.replace("\n", " ") for item in formulas), ""])
    return text


def _bracket_factors(
    numbers: IntArray, amounts: FloatArray, line: IntArray
) -> tuple[FloatArray, IntArray]:
    """Factor of each token, and the lines that are not simply bracketed."""
    is_close = numbers == _CLOSE
    depth = np.cumsum((numbers == _OPEN).astype(np.int64) - is_close)
    depth_at_end = depth[numbers == _END]
    depth -= np.concatenate([[0], depth_at_end[:-1]])[line]
    # An open bracket must be followed by an entry: "()" is left to the parser.
    wrong = (depth < 0) | (depth > 1) | ((numbers == _END) & (depth != 0))
    wrong[1:] |= is_close[1:] & (numbers[:-1] == _OPEN)
    closes = np.flatnonzero(is_close)
    factors = np.ones(len(numbers))
    if len(closes):
        inside = np.flatnonzero(depth == 1)
        following = np.searchsorted(closes, inside).clip(max=len(closes) - 1)
        factors[inside] = amounts[closes[following]]
    return factors, line[wrong]


class _Vocabulary(dict[str, int]):
    """Codes of the tokens of one call; a token is understood when first asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: list[int] = []
        self._amounts: list[float] = []

    def __missing__(self, piece: str) -> int:
        kind, amount = _understand(piece)
        code = self[piece] = len(self._kinds)
        self._kinds.append(kind)
        self._amounts.append(amount)
        return code

    def arrays(self) -> tuple[IntArray, FloatArray]:
        """Atomic number (or special kind) and amount of each code."""
        return np.asarray(self._kinds, np.int64), np.asarray(self._amounts, float)


def _understand(piece: str) -> tuple[int, float]:
    if piece == "\n":
        return _END, 0.0
    if piece in "([":
        return _OPEN, 0.0
    parts = _PARTS.fullmatch(piece)
    if parts is None:
        return _ODD, 0.0
    kind = _CLOSE if parts[1] in ")]" else ATOMIC_NUMBERS.get(parts[1], _ODD)
    try:
        return kind, float(parts[2]) if parts[2] else 1.0
    except ValueError:
        return _ODD, 0.0


def _pack(
    rows: IntArray, numbers: IntArray, amounts: FloatArray, n_rows: int
) -> PackedCompositions:
    """Sort by element within rows, add up repeated elements, drop vanishing ones."""
    key = rows * (N_ELEMENTS + 1) + numbers
    order = np.argsort(key, kind="stable")
    key, amounts = key[order], amounts[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    if len(first) != len(key):
        key, amounts = key[first], np.add.reduceat(amounts, first)
    keep = amounts >= AMOUNT_TOLERANCE
    if not keep.all():
        key, amounts = key[keep], amounts[keep]
    rows, numbers = np.divmod(key, N_ELEMENTS + 1)
    row_ptr = np.zeros(n_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n_rows), out=row_ptr[1:])
    return PackedCompositions(row_ptr, numbers.astype(np.int16), amounts)


def _summary_error(
    items: np.ndarray, failures: dict[int, UnusableError]
) -> InvalidTypeError | InvalidValueError:
    shown = [
        f"index {index} ({describe(items[index])}): {failures[index]}"
        for index in sorted(failures)[:N_REPORTED]
    ]
    verb = "cannot be used" if len(failures) == 1 else "cannot be used; the first"
    text = (
        f"{len(failures)} of {len(items)} compositions {verb}: {'; '.join(shown)}. "
        "Expected a formula such as 'LiFePO4' or 'Ca3(PO4)2', a pymatgen Composition "
        "or Structure, or a dict such as {'Fe': 2, 'O': 3}. Correct or drop "
        f"{'this sample' if len(failures) == 1 else 'these samples'}."
    )
    kind = InvalidTypeError if failures[min(failures)].wrong_type else InvalidValueError
    return kind(text)
