"""Pre-trained networks that are installed with the package.

Each is a checkpoint beside a model card that says what it has learnt from, under which
terms, and how well it does.
"""

from __future__ import annotations

from pathlib import Path

from skmatgnn.errors import InvalidValueError

__all__ = ["list_pretrained", "model_card", "pretrained_path"]

PREFIX = "skmatgnn/"
FOLDER = Path(__file__).parent


def list_pretrained() -> list[str]:
    """Name the networks that ``pretrained=`` and ``load_estimator`` find by name.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from skmatgnn.pretrained import list_pretrained
    >>> list_pretrained()
    ['skmatgnn/mpt-mp-small']
    """
    return sorted(f"{PREFIX}{path.stem}" for path in FOLDER.glob("*.safetensors"))


def pretrained_path(name: str) -> Path:
    """Find the checkpoint of a name.

    Parameters
    ----------
    name : str

    Returns
    -------
    Path

    Raises
    ------
    InvalidValueError
        If there is none.

    Examples
    --------
    >>> from skmatgnn.pretrained import pretrained_path
    >>> pretrained_path("skmatgnn/mpt-mp-small").name
    'mpt-mp-small.safetensors'
    """
    if name not in list_pretrained():
        raise InvalidValueError(
            f"There is no pretrained network {name!r}; there are "
            f"{', '.join(list_pretrained())}. For a file of your own give its path, "
            f"such as './{name}'."
        )
    return FOLDER / f"{name.removeprefix(PREFIX)}.safetensors"


def model_card(name: str) -> str:
    """Read what a network has learnt from, under which terms, and how well it does.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    InvalidValueError
        If there is no such network.

    Examples
    --------
    >>> from skmatgnn.pretrained import model_card
    >>> "CC BY 4.0" in model_card("skmatgnn/mpt-mp-small")
    True
    """
    return pretrained_path(name).with_suffix(".md").read_text(encoding="utf-8")
