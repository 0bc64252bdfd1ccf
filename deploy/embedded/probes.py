"""Does a server answer? The smallest request of each protocol, over a plain socket.

A probe raises `NotReady` with one sentence, or returns. It proves that the server speaks its protocol now; it does not prove
that the next request succeeds. Client libraries stay out: the supervisor must be small and must start at once.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
import urllib.error
import urllib.request

from deploy.embedded.ports import HOST

__all__ = [
    "NotReady",
    "http_ok",
    "kafka_answers",
    "port_open",
    "postgres_answers",
    "postgres_speaks",
    "valkey_answers",
]

_TIMEOUT_S = 2.0
#: Whatever proxy the environment names, it cannot reach this machine's loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotReady(Exception):
    """The server does not answer as it should; the text says how."""


def port_open(port: int) -> None:
    """Something accepts connections."""
    _exchange(port, b"", 0)


def kafka_answers(port: int) -> None:
    """An ApiVersions request (version 0), which a broker answers once it is registered and unfenced."""
    body = struct.pack(">hhih", 18, 0, 1, -1)
    answer = _exchange(port, struct.pack(">i", len(body)) + body, 10)
    correlation, error = struct.unpack(">xxxxih", answer)
    if correlation != 1 or error != 0:
        raise NotReady(f"Kafka answers with error {error}")


def postgres_answers(port: int) -> None:
    """A session can begin. While the server starts or recovers, it answers with an error."""
    if _greet_postgres(port) != b"R":
        raise NotReady("Postgres is starting up, recovering, or has no connection left")


def postgres_speaks(port: int) -> None:
    """It answers at all, if only with an error: it is busy and not frozen."""
    _greet_postgres(port)


def _greet_postgres(port: int) -> bytes:
    """A start-up message, as `pg_isready` sends it; returns the kind of the answer."""
    parameters = b"user\0postgres\0database\0postgres\0\0"
    message = struct.pack(">ii", len(parameters) + 8, 196_608) + parameters
    # 'X' is the polite goodbye; without it the server logs a lost connection for each probe.
    return _exchange(port, message, 1, goodbye=b"X\0\0\0\4")


def valkey_answers(port: int) -> None:
    """PING."""
    if _exchange(port, b"PING\r\n", 5) != b"+PONG":
        raise NotReady("Valkey is loading")


def http_ok(url: str) -> None:
    """The URL answers with 200."""
    try:
        with _DIRECT.open(url, timeout=_TIMEOUT_S) as response:
            response.read()
    except urllib.error.HTTPError as error:
        raise NotReady(_body_of(error) or f"HTTP {error.code}") from None
    except (OSError, http.client.HTTPException):
        raise NotReady("it does not answer yet") from None


def _body_of(error: urllib.error.HTTPError) -> str:
    """The gist of an answer's body; nothing when its process is frozen or gone before the body came."""
    try:
        return _gist(error.read(2000))
    except (OSError, http.client.HTTPException):
        return ""


def _gist(body: bytes) -> str:
    """`/readyz` names what is not ready as `{"problems": {name: sentence}}`; other answers are shown as they are."""
    text = body.decode("utf-8", errors="replace").strip()
    try:
        problems = json.loads(text)["problems"]
        return "; ".join(f"{name}: {sentence}" for name, sentence in problems.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        return text[:500]


def _exchange(port: int, request: bytes, answer_bytes: int, goodbye: bytes = b"") -> bytes:
    try:
        with socket.create_connection((HOST, port), timeout=_TIMEOUT_S) as connection:
            connection.sendall(request)
            answer = b""
            while len(answer) < answer_bytes:
                received = connection.recv(answer_bytes - len(answer))
                if not received:
                    raise NotReady("it closes the connection")
                answer += received
            connection.sendall(goodbye)
            return answer
    except OSError:
        raise NotReady("it does not answer yet") from None
