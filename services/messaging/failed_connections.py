"""Sockets of connections that failed are closed: kafka-python 3.0 leaves each to the garbage collector.

While a broker is away its clients try again about once a second each, and every refused attempt kept a file descriptor until a
collection happened to find it (3.0.12, `net/inet.py`, `KafkaNetSocket.connect`; 29 were open at once in a test, measured 2026-11).
"""

from __future__ import annotations

from typing import Any

from kafka.net.inet import KafkaNetSocket

__all__ = ["close_failed_connections"]

_connect = KafkaNetSocket.sock_connect


def close_failed_connections() -> None:
    """Mend the client library in this process. Any number of times."""
    KafkaNetSocket.sock_connect = _closing


async def _closing(self: Any, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
    """The library's own, which returns the connected socket; of one that it could not connect nothing stays open."""
    try:
        return await _connect(self, net, sock, sockaddr, timeout_at=timeout_at)
    except BaseException:
        sock.close()
        raise
