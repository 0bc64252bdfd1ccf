"""The real Triton behind the port, held to the same contract as the fake that injects faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from services.errors import CrashSuspected, TransientError
from services.inference import TritonInference
from services.settings import Settings
from tests.integration.spine.processes import eventually
from tests.integration.spine.triton import NullTriton, running_triton
from tests.unit.inference.inference_contract import InferenceContract, texts

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture(scope="module")
def triton(scratch: Path) -> Iterator[NullTriton]:
    """With two processes for `echo`, as `review` has: a dead one among living ones is the harder case."""
    with running_triton(scratch / "triton-of-two", instances=2) as started:
        yield started


@pytest.fixture
def inference(triton: NullTriton) -> Iterator[TritonInference]:
    client = TritonInference(Settings(triton_grpc=triton.grpc, inference_timeout_s=30))
    eventually(lambda: client.ready(["echo"]) is None, "a connection")
    yield client
    client.close()


class TestTritonKeepsTheContract(InferenceContract):
    @pytest.fixture
    def unreachable(self) -> Iterator[TritonInference]:
        client = TritonInference(Settings(triton_grpc="127.0.0.1:1"))
        yield client
        client.close()

    @pytest.fixture
    def heal(self, triton: NullTriton, inference: TritonInference) -> Callable[[], None]:
        """The supervisor does it; wait for it."""

        def wait() -> None:
            eventually(lambda: triton.healthy() and _well(inference), "echo is healed")

        return wait


def test_the_probe_finds_one_dead_process_among_living_ones(triton: NullTriton, inference: TritonInference) -> None:
    eventually(lambda: triton.healthy() and _well(inference), "echo is well")
    stubs = [p for p in triton.processes() if any("/echo/" in word for word in p.cmdline())]
    assert len(stubs) == 2
    with triton.unsupervised():  # nobody heals it meanwhile
        stubs[0].kill()
        psutil.wait_procs(stubs[:1], timeout=30)
        answers = [_kind(inference) for _ in range(4)]
        assert None in answers  # the living one answers: readiness and a single inference prove nothing
        assert inference.ready(["echo"]) is None
        for _ in range(3):
            with pytest.raises(CrashSuspected):
                inference.probe("echo")
    eventually(lambda: triton.healthy() and _well(inference), "echo is healed")


def _kind(inference: TritonInference) -> type[Exception] | None:
    try:
        inference.infer("echo", texts("x"), ["SCORES"])
    except TransientError as error:
        return type(error)
    return None


def _well(inference: TritonInference) -> bool:
    try:
        inference.probe("echo")
    except Exception:  # noqa: BLE001 - whatever it is, it is not well
        return False
    return True
