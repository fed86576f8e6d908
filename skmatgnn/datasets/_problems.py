"""What is wrong with a user's file, raised together."""

from __future__ import annotations

from dataclasses import dataclass, field

from skmatgnn.errors import InvalidValueError

__all__ = ["Problems"]

_SHOWN = 5


@dataclass
class Problems:
    """Everything wrong with a file, raised as one error.

    Parameters
    ----------
    source : str
        The file, for the message.
    remedy : str
        What to do, for the end of the message.
    """

    source: str
    remedy: str = "Correct or remove these rows."
    found: list[str] = field(default_factory=list)

    def add(self, place: str, text: str) -> None:
        """Note one problem.

        Parameters
        ----------
        place : str
            Where, for example ``"line 3"``.
        text : str
            What.
        """
        self.found.append(f"{place}: {text}")

    def raise_if_any(self) -> None:
        """Raise what was noted: the first five and the count.

        Raises
        ------
        InvalidValueError
            If anything was noted.
        """
        if not self.found:
            return
        count = len(self.found)
        head = f"{count} problem{'s' if count > 1 else ''} in {self.source}"
        if count > _SHOWN:
            head += f"; the first {_SHOWN}"
        lines = "".join(f"\n  {text}" for text in self.found[:_SHOWN])
        raise InvalidValueError(f"{head}:{lines}\n{self.remedy}")
