"""Products of many rows with a small matrix, by blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from skmatgnn.nn.ops._block_state import block_rows
from skmatgnn.nn.ops._choice import MIN_HALF_DIM

__all__ = ["HalfProducts", "Products", "products"]

PADDING = 128


def products(dim: int, *, half: bool) -> Products:
    """Choose the format of products.

    Parameters
    ----------
    dim : int
        Width of the results.
    half : bool
        Whether the factors of wide products are rounded to bfloat16, which CPUs of
        recent years multiply at twice the rate.

    Returns
    -------
    Products
    """
    return HalfProducts() if half and dim >= MIN_HALF_DIM else Products()


class Products:
    """Products in the format of the arrays."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Map rows, as torch.nn.functional.linear does.

        Parameters
        ----------
        x : Tensor of shape (n, in_dim)
        weight : Tensor of shape (out_dim, in_dim)
        bias : Tensor of shape (out_dim,) or None

        Returns
        -------
        Tensor of shape (n, out_dim)
        """
        out = x.new_empty(len(x), len(weight))
        factor = self.factor(weight.t())
        for rows in _blocks(x, out):
            self.multiply(x[rows], factor, bias, out[rows])
        return out

    def through(
        self, grads: list[Tensor], weights: list[Tensor], residual: Tensor | None
    ) -> Tensor:
        """Sum the gradients of rows that were mapped, and what came around the maps.

        Parameters
        ----------
        grads : list of Tensor of shape (n, out_dim)
            At least one.
        weights : list of Tensor of shape (out_dim, in_dim)
        residual : Tensor of shape (n, in_dim) or None

        Returns
        -------
        Tensor of shape (n, in_dim)
        """
        out = grads[0].new_empty(len(grads[0]), weights[0].shape[1])
        factors = [self.factor(weight) for weight in weights]
        for rows in _blocks(grads[0], out):
            block = out[rows]
            added = None if residual is None else residual[rows]
            for grad, factor in zip(grads, factors, strict=True):
                self.multiply(grad[rows], factor, added, block)
                added = block
        return out

    def outer(self, left: Tensor, right: Tensor) -> Tensor:
        """Sum outer products of rows, for the gradient of a map.

        Parameters
        ----------
        left : Tensor of shape (n, a)
        right : Tensor of shape (n, b)

        Returns
        -------
        Tensor of shape (a, b)
        """
        total = left.new_zeros(left.shape[1], right.shape[1])
        for rows in _blocks(left, right):
            self.add_outer(left[rows], right[rows], total)
        return total

    def factor(self, matrix: Tensor) -> Tensor:
        """Prepare a matrix for products with many blocks.

        Parameters
        ----------
        matrix : Tensor of shape (a, b)

        Returns
        -------
        Tensor of shape (a, b)
        """
        return matrix

    def multiply(
        self, x: Tensor, factor: Tensor, added: Tensor | None, out: Tensor
    ) -> None:
        """Write the product of a block, and what is added to it.

        Parameters
        ----------
        x : Tensor of shape (n, a)
        factor : Tensor of shape (a, b)
        added : Tensor of shape (b,) or (n, b), or None
            May be ``out``.
        out : Tensor of shape (n, b)
        """
        if added is None:
            torch.mm(x, factor, out=out)
        else:
            torch.addmm(added, x, factor, out=out)

    def add_outer(self, left: Tensor, right: Tensor, total: Tensor) -> None:
        """Add the outer products of the rows of a block.

        Parameters
        ----------
        left : Tensor of shape (n, a)
        right : Tensor of shape (n, b)
        total : Tensor of shape (a, b)
        """
        total.addmm_(left.t(), right)


class HalfProducts(Products):
    """Products of factors rounded to bfloat16, and of all else nothing.

    Blocks are padded, since torch prepares a product for each shape anew, which takes
    as long as the product of a block.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[int, int], Tensor] = {}

    def factor(self, matrix: Tensor) -> Tensor:
        """Prepare a matrix for products with many blocks.

        Parameters
        ----------
        matrix : Tensor of shape (a, b)

        Returns
        -------
        Tensor of shape (a, b)
        """
        return matrix.to(torch.bfloat16)

    def multiply(
        self, x: Tensor, factor: Tensor, added: Tensor | None, out: Tensor
    ) -> None:
        """Write the product of a block, and what is added to it.

        Parameters
        ----------
        x : Tensor of shape (n, a)
        factor : Tensor of shape (a, b)
        added : Tensor of shape (b,) or (n, b), or None
            May be ``out``.
        out : Tensor of shape (n, b)
        """
        rounded = self._rounded(x, 0)
        result = self._array(2, len(rounded), out.shape[1])
        torch.mm(rounded, factor, out=result)
        if added is None:
            out.copy_(result[: len(x)])
        else:
            torch.add(added, result[: len(x)], out=out)

    def add_outer(self, left: Tensor, right: Tensor, total: Tensor) -> None:
        """Add the outer products of the rows of a block.

        Parameters
        ----------
        left : Tensor of shape (n, a)
        right : Tensor of shape (n, b)
        total : Tensor of shape (a, b)
        """
        total += self._rounded(left, 0).t() @ self._rounded(right, 1)

    def _rounded(self, x: Tensor, place: int) -> Tensor:
        n = -(-len(x) // PADDING) * PADDING
        array = self._array(place, n, x.shape[1])
        array[: len(x)] = x
        array[len(x) :] = 0
        return array

    def _array(self, place: int, n: int, width: int) -> Tensor:
        found = self._arrays.get((place, width))
        if found is None or len(found) < n:
            found = torch.empty(n, width, dtype=torch.bfloat16)
            self._arrays[place, width] = found
        return found[:n]


def _blocks(*arrays: Tensor) -> Iterator[slice]:
    step = block_rows(max(x.shape[1] for x in arrays))
    for start in range(0, len(arrays[0]), step):
        yield slice(start, start + step)
