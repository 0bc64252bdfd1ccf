"""Probes against sockets that answer well, badly or not at all."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from deploy.embedded import probes
from deploy.embedded.probes import (
    NotReady,
    http_ok,
    kafka_answers,
    port_open,
    postgres_answers,
    postgres_speaks,
    valkey_answers,
)

Serve = Callable[[bytes], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server that gives the same answer to every first request, and closes."""
    with contextlib.ExitStack() as stack:

        def one(answer: bytes) -> int:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def run() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        client, _ = server.accept()
                        with client:
                            client.recv(1000)
                            client.sendall(answer)

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            return int(server.getsockname()[1])

        yield one


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


_KAFKA_WELL = struct.pack(">iih", 6, 1, 0)


@pytest.mark.parametrize(
    ("probe", "answer"),
    [
        (kafka_answers, _KAFKA_WELL),
        (postgres_answers, b"R\0\0\0\x08\0\0\0\0"),
        (postgres_speaks, b"E\0\0\0\x08\0\0\0\0"),
        (valkey_answers, b"+PONG\r\n"),
        (port_open, b""),
    ],
)
def test_a_server_that_answers_is_ready(serve: Serve, probe: Callable[[int], None], answer: bytes) -> None:
    probe(serve(answer))


@pytest.mark.parametrize(
    ("probe", "answer", "sentence"),
    [
        (kafka_answers, struct.pack(">iih", 6, 1, 35), "Kafka answers with error 35"),
        (kafka_answers, b"", "it closes the connection"),
        (postgres_answers, b"E", "Postgres is starting up, recovering, or has no connection left"),
        (postgres_speaks, b"", "it closes the connection"),
        (valkey_answers, b"-LOAD", "Valkey is loading"),
    ],
)
def test_a_server_that_answers_otherwise_is_not_ready(
    serve: Serve, probe: Callable[[int], None], answer: bytes, sentence: str
) -> None:
    with pytest.raises(NotReady, match=sentence):
        probe(serve(answer))


@pytest.mark.parametrize("probe", [kafka_answers, postgres_answers, postgres_speaks, valkey_answers, port_open])
def test_no_server_is_not_ready(closed: int, probe: Callable[[int], None]) -> None:
    with pytest.raises(NotReady, match="it does not answer yet"):
        probe(closed)


def test_a_server_that_accepts_and_says_nothing_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_TIMEOUT_S", 0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(NotReady, match="it does not answer yet"),
    ):
        kafka_answers(silent.getsockname()[1])


def test_http_tells_what_the_server_says_is_missing(serve: Serve) -> None:
    http_ok(f"http://127.0.0.1:{serve(b'HTTP/1.0 200 OK' + _END)}/")
    with pytest.raises(NotReady, match="no worker"):
        http_ok(f"http://127.0.0.1:{serve(b'HTTP/1.0 503 Unavailable' + _END + b'no worker')}/")
    with pytest.raises(NotReady, match="it does not answer yet"):
        http_ok(f"http://127.0.0.1:{serve(b'nonsense')}/")


def test_what_readyz_finds_missing_is_told_in_words(serve: Serve) -> None:
    body = b'{"ready": false, "problems": {"broker": "not connected", "models": "review is not loaded"}}'
    with pytest.raises(NotReady, match=r"^broker: not connected; models: review is not loaded$"):
        http_ok(f"http://127.0.0.1:{serve(b'HTTP/1.0 503 Unavailable' + _END + body)}/")


def test_http_does_not_ask_the_proxy_of_the_environment(
    serve: Serve, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed}")
    http_ok(f"http://127.0.0.1:{serve(b'HTTP/1.0 200 OK' + _END)}/")


_END = b"\r\n\r\n"


def test_a_process_that_is_gone_between_the_head_and_the_body_of_its_answer_is_not_ready(serve: Serve) -> None:
    port = serve(b"HTTP/1.1 503 No\r\nContent-Length: 500\r\n\r\n{")
    with pytest.raises(NotReady):
        http_ok(f"http://127.0.0.1:{port}/readyz")


def test_a_process_that_is_frozen_between_the_head_and_the_body_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_half() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 500\r\n\r\n")
                client.recv(1000)  # until the probe hangs up

        thread = threading.Thread(target=answer_half)
        thread.start()
        with pytest.raises(NotReady, match="HTTP 503"):
            http_ok(f"http://127.0.0.1:{server.getsockname()[1]}/readyz")
        thread.join()
