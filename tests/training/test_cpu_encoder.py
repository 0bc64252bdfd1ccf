"""Faster training on a CPU computes what training computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from services.training.cpu_encoder import PooledDropout, train_fast_on_cpu
from tests.training.tiny import classifier


def pool(rate: float, size: int = 100_000) -> torch.Tensor:
    """Masks as `train_fast_on_cpu` draws them."""
    keep = torch.rand(size, generator=torch.Generator().manual_seed(1)) >= rate
    return (keep / (1 - rate)).to(torch.bfloat16)


def test_dropout_keeps_the_expectation_and_changes_from_call_to_call() -> None:
    layer = PooledDropout(pool(0.1), 0.1).train()
    torch.manual_seed(1)
    ones = torch.ones(10, 1000)
    first, second = layer(ones), layer(ones)
    assert first.mean().item() == pytest.approx(1.0, abs=0.02)
    assert (first == 0).float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert not torch.equal(first, second)


def test_dropout_goes_on_where_the_generator_stands() -> None:
    layer = PooledDropout(pool(0.5), 0.5).train()
    ones = torch.ones(50, 50)
    torch.manual_seed(7)
    layer(ones)
    state = torch.get_rng_state()
    wanted = layer(ones)
    torch.set_rng_state(state)
    assert torch.equal(layer(ones), wanted)


def test_a_state_that_is_larger_than_the_pool_is_dropped_from_all_the_same() -> None:
    layer = PooledDropout(pool(0.5, 100), 0.5).train()
    assert 0 < (layer(torch.ones(1000)) == 0).sum() < 1000


def test_evaluation_computes_what_it_computed(base: Path) -> None:
    model = classifier(base)[0].eval()
    tokens = torch.tensor([[0, *range(10, 40), 2], [0, *range(20, 30), 2, *[1] * 20]])
    mask = (tokens != 1).long()
    with torch.no_grad():
        before = model(tokens, mask)
        train_fast_on_cpu(model.encoder, seed=1)
        assert torch.allclose(model(tokens, mask), before, atol=1e-5)
        model.train()
        assert not torch.allclose(model(tokens, mask), before, atol=1e-5)
