"""Ports: chosen once, remembered, never the same for two stacks."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import ports
from deploy.embedded.ports import HOST, PortClaims, is_free, remember_ports
from services.errors import ConfigurationError


@pytest.fixture
def claims() -> Iterator[PortClaims]:
    held = PortClaims()
    yield held
    held.release()


@pytest.fixture
def others() -> Iterator[PortClaims]:
    """The claims of another stack."""
    held = PortClaims()
    yield held
    held.release()


def test_each_name_gets_a_port_of_its_own(tmp_path: Path, claims: PortClaims) -> None:
    chosen, notes = remember_ports(tmp_path / "ports.json", ["kafka", "postgres", "valkey"], claims)
    assert len(set(chosen.values())) == 3
    assert not notes


def test_the_next_start_uses_the_same_ports(tmp_path: Path, claims: PortClaims, others: PortClaims) -> None:
    first, _ = remember_ports(tmp_path / "ports.json", ["kafka", "postgres"], claims)
    claims.release()
    second, notes = remember_ports(tmp_path / "ports.json", ["kafka", "postgres"], others)
    assert (second, notes) == (first, [])


def test_a_remembered_port_that_somebody_took_is_replaced_and_said(tmp_path: Path, claims: PortClaims) -> None:
    path = tmp_path / "ports.json"
    with socket.create_server((HOST, 0)) as thief:
        taken = thief.getsockname()[1]
        path.write_text(json.dumps({"kafka": taken, "postgres": 20_001}))
        chosen, notes = remember_ports(path, ["kafka"], claims)
    assert chosen["kafka"] != taken
    assert notes == [f"port {taken} of kafka is taken by another program now: kafka moves to port {chosen['kafka']}"]
    assert json.loads(path.read_text()) == {"kafka": chosen["kafka"], "postgres": 20_001}


def test_two_stacks_that_start_together_never_choose_the_same_port(
    tmp_path: Path, claims: PortClaims, others: PortClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = range(21_000, 21_400)
    monkeypatch.setattr(ports, "_CANDIDATES", candidates)
    names = [f"part{number}" for number in range(40)]
    monkeypatch.setattr(random, "choice", random.Random(7).choice)
    one, _ = remember_ports(tmp_path / "one.json", names, claims)
    monkeypatch.setattr(random, "choice", random.Random(7).choice)  # the same luck
    other, _ = remember_ports(tmp_path / "other.json", names, others)
    assert not set(one.values()) & set(other.values())


def test_a_claim_lives_as_long_as_a_process_that_inherited_it(claims: PortClaims, others: PortClaims) -> None:
    port = _free_port()
    assert claims.claim(port)
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=claims.descriptors
    ) as supervisor:
        assert supervisor.stdout is not None
        supervisor.stdout.readline()
        claims.release()
        assert not others.claim(port)
        supervisor.kill()
        supervisor.wait()
        assert others.claim(port)


def test_a_claim_is_refused_where_a_server_listens(claims: PortClaims) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert not claims.claim(port)
    assert claims.claim(port)


def test_a_damaged_memory_means_new_ports(tmp_path: Path, claims: PortClaims) -> None:
    path = tmp_path / "ports.json"
    for content in ("{", "[1]", '{"kafka": "x"}', '{"kafka": 99999}', ""):
        path.write_text(content)
        chosen, notes = remember_ports(path, ["kafka"], claims)
        assert 20_000 <= chosen["kafka"] < 32_000
        assert not notes


def test_when_every_port_is_taken_the_error_says_so(
    tmp_path: Path, claims: PortClaims, others: PortClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_CANDIDATES", range(22_000, 22_002))
    for port in ports._CANDIDATES:
        others.claim(port)
    with pytest.raises(ConfigurationError, match="no free port between 22000 and 22002"):
        remember_ports(tmp_path / "ports.json", ["kafka"], claims)


def test_claims_are_not_inherited_by_accident(claims: PortClaims) -> None:
    assert claims.claim(_free_port())
    assert not any(os.get_inheritable(descriptor) for descriptor in claims.descriptors)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])
