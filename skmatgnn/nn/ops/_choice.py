"""Whether kernels or plain torch compute."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor
from torch.torch_version import TorchVersion

from skmatgnn.utils._compiled import compiled_module

__all__ = [
    "angle_steps",
    "block_kernels",
    "half_products_pay",
    "has_half_products",
    "kernels",
    "use_blocks",
    "use_dgl",
    "use_kernels",
    "way_of_computing",
]

CHOICES = ("auto", "blocked", "reference", "triton", "dgl")
VARIABLE = "SKMATGNN_KERNELS"
STEPS_VARIABLE = "SKMATGNN_ANGLE_STEPS"
ANGLE_STEPS = 4096  # bfloat16 has 256 between a number and its double
DTYPES = (torch.float32, torch.bfloat16)
BLOCK_DTYPES = (torch.float32, torch.float64)
DEFAULT = "auto"
OLDEST_TRITON = "3.4"  # that the kernels were tried with
MIN_HALF_DIM = 128  # below, rounding takes longer than products in bfloat16 save
MAX_DIM = 2048  # a row of features has to fit into one program's registers

_forced: ContextVar[str | None] = ContextVar("skmatgnn_kernels", default=None)


@contextmanager
def kernels(choice: str) -> Iterator[None]:
    """Choose what computes the convolutions, in place of ``SKMATGNN_KERNELS``.

    Without either it is ``"auto"``. The choice holds in the thread that made it:
    workers, threads or processes, that are started within know the variable only.

    Parameters
    ----------
    choice : {"auto", "blocked", "reference", "triton", "dgl"}
        ``"auto"`` takes the fused Triton kernels for float32 and bfloat16 on CUDA
        where Triton works, blocks of rows that stay in the cache on the CPU, and plain
        torch otherwise. ``"reference"`` is always plain torch. ``"blocked"`` raises
        on another device, and under autocast to float16. ``"triton"`` raises where the
        kernels cannot be used; on the CPU they need Triton's interpreter
        (``TRITON_INTERPRET=1`` set before Triton is imported), which is for tests.
        ``"dgl"`` computes messages and their sums with the kernels of DGL, of the extra
        ``skmatgnn[dgl]``, to compare with networks that were written for it; it is not
        faster.

    Raises
    ------
    ValueError
        If ``choice`` is unknown.

    Examples
    --------
    >>> from skmatgnn.nn.ops import kernels
    >>> with kernels("reference"):
    ...     pass  # fit and predict in plain torch
    """
    _require_known(choice)
    token = _forced.set(choice)
    try:
        yield
    finally:
        _forced.reset(token)


def use_kernels(x: Tensor, dim: int) -> bool:
    """Whether the fused kernels are to compute rows of a kind.

    Parameters
    ----------
    x : Tensor
        Of the device and format of the computation.
    dim : int
        Number of features.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If the environment variable holds no known choice.
    RuntimeError
        If kernels are demanded but cannot compute this.
    """
    choice = _chosen()
    others = ("reference", "blocked", "dgl")
    if choice in others or (choice == "auto" and not x.is_cuda):
        return False
    reason = _obstacle(x, dim)
    if reason and choice == "triton":
        raise RuntimeError(f"The Triton kernels cannot compute this: {reason}.")
    return not reason


def use_blocks(x: Tensor) -> bool:
    """Whether rows of a kind are to be computed in blocks that stay in the cache.

    Parameters
    ----------
    x : Tensor
        Of the device and format of the computation.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If the environment variable holds no known choice.
    RuntimeError
        If blocks are demanded but cannot compute this.
    """
    choice = _chosen()
    if choice not in ("auto", "blocked"):
        return False
    reason = ""
    if x.device.type != "cpu":
        reason = f"tensors are on {x.device.type}"
    elif x.dtype not in BLOCK_DTYPES:
        reason = f"numbers are {x.dtype}"
    elif torch.is_autocast_enabled("cpu") and not has_half_products():
        reason = f"autocast is to {torch.get_autocast_dtype('cpu')}"
    if reason and choice == "blocked":
        raise RuntimeError(f"Blocks on the CPU cannot compute this: {reason}.")
    return not reason


def has_half_products() -> bool:
    """Whether blocks are to round the factors of products to bfloat16.

    Returns
    -------
    bool
        As autocast says, of which blocks take nothing else.
    """
    dtype = torch.get_autocast_dtype("cpu")
    return torch.is_autocast_enabled("cpu") and dtype == torch.bfloat16


def half_products_pay(width: int) -> bool:
    """Whether products in bfloat16 are faster on this CPU than those in float32.

    Parameters
    ----------
    width : int
        Of the rows that blocks multiply.

    Returns
    -------
    bool
        False where this is not known.
    """
    if width < MIN_HALF_DIM or _chosen() not in ("auto", "blocked"):
        return False
    ask = getattr(torch.cpu, "get_capabilities", None)  # which old torch does not have
    return bool(
        ask is not None
        and torch.backends.mkldnn.is_available()
        and ask().get("avx512_bf16", False)
    )


def block_kernels() -> ModuleType:
    """Find what computes a block: compiled by Numba, or else plain torch.

    Returns
    -------
    module
    """
    compiled = _compiled_blocks()
    if compiled is not None:
        return compiled
    from skmatgnn.nn.ops import _block_torch

    return _block_torch


def _compiled_blocks() -> ModuleType | None:
    return compiled_module("skmatgnn.nn.ops._block_numba", "networks are computed")


def way_of_computing() -> str:
    """Name all on which the last digits of a result depend beside the device.

    Returns
    -------
    str
    """
    rest = "" if angle_steps() == ANGLE_STEPS else f", {angle_steps()} angles"
    return f"{_chosen()}, {'numba' if find_spec('numba') else 'torch'}{rest}"


def angle_steps() -> int:
    """Look up to how many steps cosines are rounded in bfloat16 on the GPU.

    Returns
    -------
    int
        0 where they are not, as where the environment variable
        ``SKMATGNN_ANGLE_STEPS`` says so.
    """
    return int(os.environ.get(STEPS_VARIABLE) or ANGLE_STEPS)


def use_dgl() -> bool:
    """Whether the kernels of DGL are to compute.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If the environment variable holds no known choice.
    """
    return _chosen() == "dgl"


def _chosen() -> str:
    choice = _forced.get() or os.environ.get(VARIABLE) or DEFAULT
    _require_known(choice)
    return choice


def _require_known(choice: str) -> None:
    if choice not in CHOICES:
        raise ValueError(f"Kernels must be one of {CHOICES}; got {choice!r}.")


def _obstacle(x: Tensor, dim: int) -> str:
    if x.dtype not in DTYPES:
        return f"numbers are {x.dtype}"
    if dim > MAX_DIM:
        return f"there are {dim} features, more than {MAX_DIM}"
    if not x.is_cuda:
        return _interpreter_obstacle(x)
    if torch.version.cuda is None or torch.cuda.get_device_capability(x.device)[0] < 8:
        return "they need a CUDA device of compute capability 8.0 or more"
    return _compiler_obstacle()


def _interpreter_obstacle(x: Tensor) -> str:
    if x.device.type != "cpu" or find_spec("triton") is None:
        return f"there is no Triton for tensors on {x.device.type}"
    from skmatgnn.nn.ops._triton_probe import INTERPRETED

    return "" if INTERPRETED else "on the CPU they need TRITON_INTERPRET=1"


@cache
def _compiler_obstacle() -> str:
    """Try once whether Triton can compile and run here."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    try:
        import triton

        if TorchVersion(triton.__version__) < OLDEST_TRITON:
            return f"Triton {triton.__version__} is older than {OLDEST_TRITON}"
        from skmatgnn.nn.ops._triton_probe import probe

        probe()
    except Exception as error:  # noqa: BLE001 - a broken toolchain fails in many ways
        reason = f"Triton does not work here ({type(error).__name__}: {error})"
        warnings.warn(
            f"{reason}; networks are computed in plain torch. Set "
            f"{VARIABLE}=reference to silence this.",
            RuntimeWarning,
            stacklevel=2,
        )
        return reason
    return ""
