import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from services.training.rounding import input_moments, quantise_matrix, quantise_rows, restore_rows


def matrix(rows: int = 50, columns: int = 64) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(rows, columns)).astype(np.float32)


def inputs(rows: int, columns: int, seed: int) -> NDArray[np.float32]:
    """Neighbours that depend on each other, as activations do."""
    mixed = np.random.default_rng(0).normal(size=(columns, columns)) * np.geomspace(1, 0.01, columns)[:, None]
    return (np.random.default_rng(seed).normal(size=(rows, columns)) @ mixed).astype(np.float32)


def test_int8_rows_are_the_table_within_half_a_step() -> None:
    table = matrix()
    table[7] = 0.0
    rows, scales = quantise_rows(table, 32)
    assert scales.shape == (50, 2)
    assert np.abs(restore_rows(rows, scales) - table).max() <= scales.max() / 2 + 1e-6


def test_a_table_that_was_rounded_before_is_not_rounded_again() -> None:
    rows, scales = quantise_rows(matrix(), 16)
    again = quantise_rows(restore_rows(rows, scales), 16)
    assert np.array_equal(again[0], rows)
    assert np.array_equal(again[1], scales)


def test_a_value_at_the_end_of_the_scale_does_not_run_over() -> None:
    for largest in np.geomspace(1e-6, 6e4, 400, dtype=np.float32):
        rows, scales = quantise_rows(np.array([[largest, -largest]], np.float32), 2)
        assert rows[0, 0] == -rows[0, 1]
        if largest > 1e-3:
            assert rows[0, 0] == 127
            assert abs(restore_rows(rows, scales)[0, 0] / largest - 1) < 0.005


def test_products_with_inputs_like_those_seen_change_less_than_half_as_much() -> None:
    given, seen, others = matrix(), inputs(2000, 64, 1), inputs(500, 64, 2)

    def error(rounded: tuple[NDArray[np.int8], NDArray[np.float16]]) -> float:
        return float(np.square(others @ (restore_rows(*rounded) - given).T).mean())

    nearest = quantise_rows(given, 32)
    fitted = quantise_matrix(given, 32, (seen.T @ seen).astype(np.float64))
    assert np.array_equal(nearest[1], fitted[1])
    assert error(fitted) < error(nearest) / 2


def test_inputs_that_say_nothing_leave_each_value_rounded_by_itself() -> None:
    given = matrix()
    for moments in (np.zeros((64, 64)), np.eye(64)):
        assert np.array_equal(quantise_matrix(given, 32, moments)[0], quantise_rows(given, 32)[0])


def test_moments_are_those_of_every_row_that_a_layer_was_given() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 2))
    first, second = torch.randn(2, 3, 6), torch.randn(1, 5, 6)
    moments = input_moments(module, [(first,), (second,)])
    rows = torch.cat([first.reshape(-1, 6), second.reshape(-1, 6)]).double()
    assert set(moments) == {"0", "2"}
    assert np.allclose(moments["0"], (rows.T @ rows).numpy(), atol=1e-4)
    assert not module[0]._forward_pre_hooks  # none is left behind
