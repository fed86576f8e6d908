"""AdamW that updates all parameters in one launch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skmatgnn.nn.ops import use_kernels

__all__ = ["N_RATES", "OneLaunchAdamW", "Update", "UpdatedGroup"]

CHUNK = 1024  # elements a program
N_RATES = 8  # numbers of a group; even, so that those of each are aligned alike
MAX_TABLES = 64  # captured steps each have gradients of their own


class OneLaunchAdamW(torch.optim.AdamW):
    """AdamW whose Triton kernel takes all parameters of a group at once.

    The fused one of torch takes a few dozen tensors at a time, and 65,536 elements a
    program, so that most of the device waits. State and arguments are the same; it is
    what computes where the kernel cannot: on the CPU, in formats other than float32,
    for sparse gradients, and with ``amsgrad``, ``maximize``, ``capturable`` or a scaler
    of gradients.

    Parameters
    ----------
    params : iterable
    **options : object
        Of :class:`torch.optim.AdamW`.
    """

    def __init__(self, params: Iterable[Any], **options: Any) -> None:
        super().__init__(params, **options)
        self._tables: dict[tuple[int, ...], tuple[Tensor, Tensor, bool]] = {}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters.

        Parameters
        ----------
        closure : callable, optional
            Computes loss and gradients.

        Returns
        -------
        object
            What the closure returns.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        update = self.prepare()
        if update is None:
            super().step()
        elif update.groups:
            device = update.groups[0].table.device
            rates = torch.tensor(update.rates(), dtype=torch.float64)
            update.launch(_send(rates, device))
        return loss

    def __getstate__(self) -> dict[str, Any]:
        """Leave out addresses, which are others elsewhere."""
        return {**super().__getstate__(), "_tables": {}}

    def prepare(self) -> Update | None:
        """Get ready to update the parameters by the gradients that they have now.

        Returns
        -------
        Update or None
            None where torch has to do it.
        """
        groups = []
        for group in self.param_groups:
            arrays = self._arrays(group)
            if arrays is None:
                return None
            if arrays:
                groups.append(UpdatedGroup(group, arrays, *self._table(arrays)))
        return Update(groups)

    def _arrays(self, group: dict[str, Any]) -> list[tuple[Tensor, ...]] | None:
        """Parameter, gradient, means and number of steps; None if torch is to do it."""
        options = ("amsgrad", "maximize", "capturable", "differentiable")
        unusual = any(group[name] for name in options) or isinstance(
            group["lr"], Tensor
        )
        scaled = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        if unusual or scaled != (None, None) or not _has_kernel(group["params"]):
            return None
        found: list[tuple[Tensor, ...]] = []
        for parameter in group["params"]:
            grad, state = parameter.grad, self.state[parameter]
            if grad is None:
                continue
            if not state:  # torch makes it in the first step
                return None
            parts = (grad, state["exp_avg"], state["exp_avg_sq"])
            if grad.is_sparse or not _fits(parameter, *parts, state["step"]):
                return None
            found.append((parameter, grad.contiguous(), *parts[1:], state["step"]))
        return found

    def _table(self, arrays: list[tuple[Tensor, ...]]) -> tuple[Tensor, Tensor, bool]:
        """Addresses and lengths, and what each program takes, on the device."""
        key = tuple(x.data_ptr() for parts in arrays for x in parts)
        if key not in self._tables:
            if len(self._tables) >= MAX_TABLES:
                del self._tables[next(iter(self._tables))]
            device, lengths = arrays[0][0].device, [p.numel() for p, *_ in arrays]
            rows = torch.tensor(key).view(-1, 5)
            table = torch.cat([rows, torch.tensor(lengths).unsqueeze(1)], dim=1)
            chunks = torch.tensor(
                [
                    (i, start)
                    for i, length in enumerate(lengths)
                    for start in range(0, length, CHUNK)
                ],
            ).view(-1, 2)
            aligned = not (rows[:, :4] % 16).any()
            found = (_send(table, device), _send(chunks, device), bool(aligned))
            self._tables[key] = found
        return self._tables[key]


@dataclass(frozen=True)
class UpdatedGroup:
    """Parameters of a group that have gradients.

    Parameters
    ----------
    options : dict
        The group of the optimizer, of which rates are read when they are needed.
    arrays : list of tuple of 5 Tensor
        Parameter, gradient, means and number of steps; kept, as the table points there.
    table : Tensor of shape (n, 6), int64
    chunks : Tensor of shape (n_programs, 2), int64
    aligned : bool
        Whether all begin at multiples of 16 bytes.
    """

    options: dict[str, Any]
    arrays: list[tuple[Tensor, ...]]
    table: Tensor
    chunks: Tensor
    aligned: bool

    def rates(self) -> list[float]:
        """Numbers that the kernel needs, as the optimizer has them now.

        Returns
        -------
        list of float
        """
        (beta, square_beta), lr = self.options["betas"], self.options["lr"]
        return [
            lr,
            1.0 - lr * self.options["weight_decay"],
            1.0 - beta,
            1.0 - square_beta,
            math.log2(beta) if beta else -math.inf,
            math.log2(square_beta) if square_beta else -math.inf,
            self.options["eps"],
            0.0,
        ]


@dataclass(frozen=True)
class Update:
    """An update whose addresses are on the device, which may be captured.

    Parameters
    ----------
    groups : list of UpdatedGroup
    """

    groups: list[UpdatedGroup]

    def rates(self) -> list[float]:
        """Numbers of all groups, which a schedule may change from step to step.

        Returns
        -------
        list of float
        """
        return [rate for group in self.groups for rate in group.rates()]

    @torch.no_grad()
    def launch(self, rates: Tensor) -> None:
        """Update the parameters.

        Parameters
        ----------
        rates : Tensor of shape (n,), float64
            On the device, as of :meth:`rates`.
        """
        from skmatgnn.nn.ops._triton_adamw import adamw_kernel

        parts = rates.split(N_RATES)
        for group, part in zip(self.groups, parts, strict=True):
            torch._foreach_add_([arrays[4] for arrays in group.arrays], 1.0)
            with torch.cuda.device_of(group.table):
                adamw_kernel[(len(group.chunks),)](
                    group.table,
                    group.chunks,
                    part,
                    CHUNK,
                    group.aligned,
                    num_warps=4,
                    enable_fp_fusion=True,
                )


def _has_kernel(parameters: list[Tensor]) -> bool:
    return len(parameters) > 0 and use_kernels(parameters[0], 1)


def _fits(parameter: Tensor, *others: Tensor) -> bool:
    """Whether the kernel can update a parameter."""
    tensors = (parameter, *others)
    return (
        parameter.is_contiguous()
        and all(x.dtype == torch.float32 for x in tensors)
        and all(x.device == parameter.device for x in tensors)
        and all(x.is_contiguous() for x in others[1:])
    )


def _send(x: Tensor, device: torch.device) -> Tensor:
    """Copy to a device that need not wait for it."""
    if device.type == "cuda":
        return x.pin_memory().to(device, non_blocking=True)
    return x.clone()
