"""Which device a user means."""

from __future__ import annotations

import torch

from skmatgnn.errors import InvalidValueError

__all__ = ["resolve_device"]


def resolve_device(device: str | torch.device) -> str:
    """Find the device that is asked for.

    Parameters
    ----------
    device : str or torch.device
        "auto" is CUDA where there is one.

    Returns
    -------
    str
        A name that torch knows.

    Raises
    ------
    InvalidValueError
        If it is no device, of another kind than CPU and CUDA, or CUDA where there is
        none.

    Examples
    --------
    >>> from skmatgnn.graphs._device import resolve_device
    >>> resolve_device("cpu")
    'cpu'
    """
    if str(device) == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise InvalidValueError(
            f"device must be 'auto' or a torch device such as 'cpu' or 'cuda:0'; got "
            f"{device!r}."
        ) from error
    if kind not in {"cpu", "cuda"}:  # Apple's, say, has no float64 to add up losses in
        raise InvalidValueError(
            f"device={device!r} is of a kind that is not supported. Use 'cpu', 'cuda' "
            "or 'auto'."
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise InvalidValueError(
            f"device={device!r} was asked for, but torch sees no CUDA device. Use "
            "device='auto', or install a CUDA build of torch."
        )
    return str(device)
