"""A connection that failed leaves no socket open."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from kafka.net.inet import KafkaNetSocket

from services.messaging import KafkaError, admin_client
from services.settings import Settings


def test_attempts_at_an_address_where_nobody_listens_leave_no_socket_open(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []
    create = KafkaNetSocket.socket

    def remember(*arguments: Any) -> socket.socket:
        made.append(create(*arguments))
        return made[-1]

    monkeypatch.setattr(KafkaNetSocket, "socket", remember)
    with pytest.raises(KafkaError):
        admin_client(Settings(kafka_bootstrap="127.0.0.1:1"), "test", patience_ms=500)
    assert made
    assert [one.fileno() for one in made] == [-1] * len(made)
