"""The fake model server keeps the contract of the real one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.errors import TransientError
from tests.unit.inference.faulty_inference import FaultyInference
from tests.unit.inference.inference_contract import InferenceContract, texts


class TestTheFakeKeepsTheContract(InferenceContract):
    @pytest.fixture
    def inference(self) -> FaultyInference:
        return FaultyInference()

    @pytest.fixture
    def unreachable(self) -> FaultyInference:
        fake = FaultyInference()
        fake.away = True
        return fake

    @pytest.fixture
    def heal(self, inference: FaultyInference) -> Callable[[], None]:
        return inference.heal


def test_faults_are_raised_in_order_and_then_no_more() -> None:
    fake = FaultyInference()
    fake.faults = [TransientError("first"), None, TransientError("third")]
    with pytest.raises(TransientError, match="first"):
        fake.infer("echo", texts("a"), ["SCORES"])
    fake.infer("echo", texts("b"), ["SCORES"])
    with pytest.raises(TransientError, match="third"):
        fake.infer("echo", texts("c"), ["SCORES"])
    fake.infer("echo", texts("d"), ["SCORES"])
    assert fake.calls == [["a"], ["b"], ["c"], ["d"]]
