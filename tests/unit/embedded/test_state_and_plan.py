"""What is written down: readable by its owner only, read back as it was, and None where it cannot be."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from deploy.embedded import DataFolder, read_state, stack_environment
from deploy.embedded.parts import app_environment, app_process
from deploy.embedded.plan import ALL_PARTS, Plan, endpoints_of, parts_of, port_names, read_plan, write_plan
from deploy.embedded.state import Endpoints, StackState, TritonEndpoints, write_state

_REMOTE = {
    "TIDEGATE_KAFKA_BOOTSTRAP": "kafka.example:9092",
    "TIDEGATE_POSTGRES_DSN": "postgresql://app:secret@db.example/tidegate",
    "TIDEGATE_VALKEY_URL": "redis://:secret@valkey.example/0",
    "TIDEGATE_TRITON_GRPC": "triton.example:8001",
}


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder.at(tmp_path / "data")
    made.create()
    return made


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _REMOTE:
        monkeypatch.delenv(name, raising=False)


def _plan(**given: int) -> Plan:
    return Plan.from_environment(
        ALL_PARTS, **{"workers": 2, "dispatchers": 1} | given, model_repositories=(Path("models"),)
    )


def test_a_plan_is_read_back_as_it_was(folder: DataFolder) -> None:
    plan = _plan().model_copy(update={"ports": {"kafka": 21_000}})
    write_plan(folder, plan)
    assert read_plan(folder) == plan


def test_the_plan_and_the_state_are_for_their_owner_only(folder: DataFolder) -> None:
    folder.plan.write_text("{}")
    folder.plan.chmod(0o644)  # as an older version may have left it
    write_plan(folder, _plan())
    write_state(folder, _state(folder))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.plan, folder.state)] == [0o600, 0o600]


def test_everything_that_listens_here_has_a_port_and_no_two_processes_share_one() -> None:
    names = port_names(_plan())
    assert sorted(names) == [
        "dispatcher-1", "kafka", "kafka-controller", "postgres", "triton-grpc", "triton-http", "triton-metrics", "valkey",
        "worker-1", "worker-2",
    ]  # fmt: skip


def test_a_part_that_the_environment_places_elsewhere_is_used_there_and_not_started(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _REMOTE.items():
        monkeypatch.setenv(name, value)
    plan = _plan(workers=0, dispatchers=0)
    assert port_names(plan) == []
    assert parts_of(plan, folder) == []
    assert stack_environment(_state(folder, endpoints_of(plan, folder))) == _REMOTE


def test_one_remote_part_leaves_the_others_here(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_POSTGRES_DSN", _REMOTE["TIDEGATE_POSTGRES_DSN"])
    plan = _plan()
    plan = plan.model_copy(update={"ports": {name: 21_000 + i for i, name in enumerate(port_names(plan))}})
    assert [part.name for part in parts_of(plan, folder)] == ["kafka", "valkey", "triton"]
    endpoints = endpoints_of(plan, folder)
    assert endpoints.postgres == _REMOTE["TIDEGATE_POSTGRES_DSN"]
    assert endpoints.kafka == f"127.0.0.1:{plan.ports['kafka']}"


def test_an_empty_variable_places_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_KAFKA_BOOTSTRAP", "")
    assert _plan().parts == ALL_PARTS


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"format": 2}', b"\xff"])
def test_a_missing_or_damaged_state_reads_as_none(folder: DataFolder, content: bytes | None) -> None:
    if content is not None:
        folder.state.write_bytes(content)
    assert read_state(folder.root) is None


def test_the_app_listens_on_loopback_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_METRICS_HOST", "0.0.0.0")
    spec = app_process("worker", 1, 21_000, {"TIDEGATE_KAFKA_BOOTSTRAP": "127.0.0.1:1"})
    assert spec.environment["TIDEGATE_METRICS_HOST"] == "127.0.0.1"
    assert spec.environment["TIDEGATE_METRICS_PORT"] == "21000"
    assert spec.environment["TIDEGATE_KAFKA_BOOTSTRAP"] == "127.0.0.1:1"


def test_the_app_reaches_loopback_without_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.delenv("NO_PROXY", raising=False)
    environment = app_environment({})
    assert environment["no_proxy"] == "example.org,127.0.0.1,localhost"
    assert environment["NO_PROXY"] == "127.0.0.1,localhost"


def _state(folder: DataFolder, endpoints: Endpoints | None = None) -> StackState:
    if endpoints is None:
        endpoints = Endpoints(triton=TritonEndpoints())
    return StackState(data_dir=folder.root, supervisor_pid=1, supervisor_created=1.0, endpoints=endpoints)
