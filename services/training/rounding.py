"""From float32 matrices to int8 values with scales, so that what the matrices are multiplied with changes the products least.

Promises: int8 values times their scales are the matrix, off by half a step where nothing is known of the inputs (`quantise_rows`);
where their second moments are (`quantise_matrix`), columns are rounded one after the other and each error is made up for by the columns
that are not rounded yet (GPTQ, Frantar et al. 2022, arXiv:2210.17323), so that single values may be off by more and the products by
less. What `restore_rows` gave back is rounded to the same rows and scales again, so that a table that no training touches is not
rounded twice. Does not search for better scales.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["input_moments", "quantise_matrix", "quantise_rows", "restore_rows"]

#: Added to the diagonal of the moments, as a share of its mean: directions that no text uses must not take up errors without limit.
_DAMPING = 0.01
#: Columns whose errors reach the columns behind them in one product, which is what makes this fast.
_BLOCK = 64


def quantise_rows(table: NDArray[np.float32], columns: int) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Rows of int8 (n, d) and scales (n, d / columns), one for so many neighbouring columns, whose product is the table.

    The product is off by half a step of its group at most. `columns` must divide d.
    """
    scales = _scales(table, columns)
    rows = _rounded(table.reshape(*scales.shape, -1) / scales[:, :, None].astype(np.float32))
    return rows.reshape(table.shape), scales


def restore_rows(rows: NDArray[np.int8], scales: NDArray[np.float16]) -> NDArray[np.float32]:
    """What `quantise_rows` was given, within its steps."""
    grouped = rows.reshape(*scales.shape, -1).astype(np.float32) * scales[:, :, None].astype(np.float32)
    return grouped.reshape(rows.shape)


def quantise_matrix(
    matrix: NDArray[np.float32], columns: int, moments: NDArray[np.float64]
) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """As `quantise_rows`, for a matrix (n, d) whose inputs have the second moments (d, d), summed over any number of them."""
    scales = _scales(matrix, columns)
    order = np.argsort(
        -np.diag(moments)
    )  # what matters most is rounded first, while there are columns left to make up for it
    known = moments[np.ix_(order, order)].astype(np.float64)
    known[np.diag_indices_from(known)] += _DAMPING * np.diag(known).mean() + 1e-12
    # Row i of the upper factor of the inverse says how the columns after i make up for an error of column i.
    factor = np.linalg.cholesky(np.linalg.inv(known)).T
    left = matrix[:, order].astype(np.float64)
    steps = np.repeat(scales.astype(np.float64), columns, axis=1)[:, order]
    rounded = np.empty(left.shape, np.int8)
    for start in range(0, left.shape[1], _BLOCK):
        stop = min(start + _BLOCK, left.shape[1])
        errors = np.empty((len(left), stop - start))
        for column in range(start, stop):
            rounded[:, column] = _rounded(left[:, column] / steps[:, column])
            error = (left[:, column] - rounded[:, column] * steps[:, column]) / factor[column, column]
            left[:, column + 1 : stop] -= np.outer(error, factor[column, column + 1 : stop])
            errors[:, column - start] = error
        left[:, stop:] -= errors @ factor[start:stop, stop:]
    rows = np.empty_like(rounded)
    rows[:, order] = rounded
    return rows, scales


def input_moments(module: nn.Module, calls: Iterable[tuple[Tensor, ...]]) -> dict[str, NDArray[np.float64]]:
    """Second moments (d, d) of the inputs of each linear layer inside `module`, by its name there, summed over the calls' rows."""
    sums: dict[str, Tensor] = {}

    def watch(name: str) -> None:
        def add(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            rows = given[0].reshape(-1, given[0].shape[-1])
            total = sums.setdefault(name, torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64))
            total += (rows.T @ rows).double()

        hooks.append(layers[name].register_forward_pre_hook(add))

    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    hooks: list[torch.utils.hooks.RemovableHandle] = []
    for name in layers:
        watch(name)
    try:
        with torch.no_grad():
            for call in calls:
                module(*call)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total.numpy() for name, total in sums.items()}


def _scales(table: NDArray[np.float32], columns: int) -> NDArray[np.float16]:
    """The nearest to a 127th of each group's largest value, and not rounded up: a group on its grid gets that grid again."""
    groups = table.reshape(len(table), -1, columns)
    scales: NDArray[np.float16] = (np.maximum(np.abs(groups).max(axis=2), 1e-3) / 127.0).astype(np.float16)
    return scales


def _rounded(steps: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.int8]:
    values: NDArray[np.int8] = np.clip(np.round(steps), -127, 127).astype(np.int8)
    return values
