"""AdamW that updates all parameters in one launch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skmatgnn.nn.ops import use_kernels

__all__ = ["N_RATES", "OneLaunchAdamW", "Room", "Update", "UpdatedGroup"]

CHUNK = 1024  # elements a program
N_COLUMNS = 6  # of a table: five addresses and a length
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
        self._seen: list[tuple[int, int, bool]] = []
        self._last: tuple[list[tuple[int, int, bool]], Update] | None = None

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
        state = super().__getstate__()
        return {**state, "_tables": {}, "_seen": [], "_last": None}

    def room(self) -> list[Room]:
        """Allocate what :meth:`prepare` needs, before an update is captured.

        Returns
        -------
        list of Room
        """
        return [
            Room(
                x.new_empty(len(group["params"]), N_COLUMNS, dtype=torch.int64),
                x.new_empty(sum(map(_n_chunks, group["params"])), 2, dtype=torch.int64),
            )
            for group in self.param_groups
            for x in group["params"][:1]
        ]

    def prepare(self, room: list[Room] | None = None) -> Update | None:
        """Get ready to update the parameters by the gradients that they have now.

        Parameters
        ----------
        room : list of Room, optional
            For an update that is being captured: addresses are written there later, by
            :meth:`Update.write`.

        Returns
        -------
        Update or None
            None where torch has to do it.
        """
        scaled = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        if scaled != (None, None) or any(map(_is_unusual, self.param_groups)):
            return None
        places = self._places()
        if room is None and self._last is not None and self._last[0] == places:
            return self._last[1]
        groups = []
        for i, group in enumerate(self.param_groups):
            arrays = self._arrays(group)
            if arrays is None:
                return None
            if arrays:
                table = self._table(arrays) if room is None else room[i].table(arrays)
                groups.append(UpdatedGroup(group, arrays, *table))
        update = Update(groups)
        if room is None:  # kept only if gradients stay, as they would be kept with it
            stay = places == self._seen and all(contiguous for *_, contiguous in places)
            self._last = (places, update) if stay else None
            self._seen = places
        return update

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over means and numbers of steps, which are elsewhere then.

        Parameters
        ----------
        state_dict : dict
        """
        super().load_state_dict(state_dict)
        self._last = None

    def _places(self) -> list[tuple[int, int, bool]]:
        """Where parameters and gradients are; another update is needed elsewhere."""
        return [
            (p.data_ptr(), 0, True)
            if p.grad is None
            else (p.data_ptr(), p.grad.data_ptr(), p.grad.is_contiguous())
            for group in self.param_groups
            for p in group["params"]
        ]

    def _arrays(self, group: dict[str, Any]) -> list[tuple[Tensor, ...]] | None:
        """Parameter, gradient, means and number of steps; None if torch is to do it."""
        if not _has_kernel(group["params"]):
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
            table, chunks, aligned = _addresses(arrays)
            device = arrays[0][0].device
            self._tables[key] = _send(table, device), _send(chunks, device), aligned
        return self._tables[key]


def _is_unusual(group: dict[str, Any]) -> bool:
    """Whether a group asks for what the kernel does not do."""
    options = ("amsgrad", "maximize", "capturable", "differentiable")
    return any(group[name] for name in options) or isinstance(group["lr"], Tensor)


def _n_chunks(x: Tensor) -> int:
    return -(-x.numel() // CHUNK)


def _addresses(arrays: list[tuple[Tensor, ...]]) -> tuple[Tensor, Tensor, bool]:
    """Addresses and lengths, what each program takes, and if addresses are aligned."""
    rows = [(*(x.data_ptr() for x in parts), parts[0].numel()) for parts in arrays]
    table = torch.tensor(rows, dtype=torch.int64)
    chunks = [
        (i, CHUNK * chunk)
        for i, (parameter, *_) in enumerate(arrays)
        for chunk in range(_n_chunks(parameter))
    ]
    aligned = not bool((table[:, :4] % 16).any())
    return table, torch.tensor(chunks, dtype=torch.int64).view(-1, 2), aligned


@dataclass(frozen=True)
class Room:
    """Memory for the addresses of a group.

    Parameters
    ----------
    addresses : Tensor of shape (n, 6), int64
    chunks : Tensor of shape (m, 2), int64
    """

    addresses: Tensor
    chunks: Tensor

    def table(self, arrays: list[tuple[Tensor, ...]]) -> tuple[Tensor, Tensor, bool]:
        """Take as much of it as some parameters need.

        Parameters
        ----------
        arrays : list of tuple of Tensor

        Returns
        -------
        addresses : Tensor of shape (n, 6), int64
        chunks : Tensor of shape (m, 2), int64
            Neither is written yet.
        aligned : bool
        """
        _, chunks, aligned = _addresses(arrays)
        return self.addresses[: len(arrays)], self.chunks[: len(chunks)], aligned


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
    """An update that reads the addresses of what it updates on the device.

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

    def write(self) -> None:
        """Put the addresses where an update that was captured will look for them."""
        for group in self.groups:
            table, chunks, _ = _addresses(group.arrays)
            group.table.copy_(table)
            group.chunks.copy_(chunks)

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
