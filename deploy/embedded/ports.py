"""Free ports on loopback, chosen once and remembered in the data folder.

Two stacks never choose the same port: each claims its own, and the claim ends with the process that holds it. A program that
knows nothing of claims may still take a port between the check and the server's own bind; the supervisor then retries, and
the next `up` chooses another one.
"""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from services.errors import ConfigurationError

__all__ = ["HOST", "PortClaims", "is_free", "remember_ports"]

#: Everything binds to loopback; nothing of the embedded stack has a password.
HOST = "127.0.0.1"

#: Below Linux' range for outgoing connections (32768 and up). A client that retries a dead server inside that range can be
#: given the very same port as its source and connect to itself: it then talks to nobody and keeps the server from binding.
_CANDIDATES = range(20_000, 32_000)


class PortClaims:
    """The ports that one stack has claimed. Whoever inherits `descriptors` holds the claims too.

    A claim is the name of a Unix socket in the kernel's abstract name space, which is as wide as the ports themselves: it
    needs no file, and the kernel gives the name back when the last holder ends, however it ends.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(claim.fileno() for claim in self._sockets)

    def claim(self, port: int) -> bool:
        """Whether the port is ours now: nobody else has claimed it, and a server could bind to it."""
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0tidegate/port/{port}")
        except OSError:
            claim.close()
            return False
        if not is_free(port):
            claim.close()
            return False
        self._sockets.append(claim)
        return True

    def release(self) -> None:
        """Give up our copy of the claims; a supervisor that inherited them keeps them."""
        while self._sockets:
            self._sockets.pop().close()


def is_free(port: int) -> bool:
    """Whether a server could bind to it now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def remember_ports(path: Path, names: Iterable[str], claims: PortClaims) -> tuple[dict[str, int], list[str]]:
    """Claim a port for each name: the remembered one where it is still free. Call it while nothing of the stack runs.

    Returns:
        The port of each name, and one sentence for each remembered port that had to change.
    """
    remembered = _read(path)
    notes: list[str] = []
    chosen: dict[str, int] = {}
    taken = set(remembered.values())
    for name in names:
        port = remembered.get(name)
        if port is None or not claims.claim(port):
            new_port = _choose(taken, claims)
            if port is not None:
                notes.append(f"port {port} of {name} is taken by another program now: {name} moves to port {new_port}")
            port = new_port
        taken.add(port)
        chosen[name] = port
    merged = remembered | chosen
    if merged != remembered:
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    return chosen, notes


def _choose(taken: set[int], claims: PortClaims) -> int:
    for _ in range(1000):
        port = random.choice(_CANDIDATES)  # noqa: S311 - a port is not a secret
        if port not in taken and claims.claim(port):
            return port
    raise ConfigurationError(f"no free port between {_CANDIDATES.start} and {_CANDIDATES.stop}: stop what uses them")


def _read(path: Path) -> dict[str, int]:
    """A file that is missing or damaged means that no port was chosen yet."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(name): port for name, port in content.items() if isinstance(port, int) and 0 < port < 65536}
