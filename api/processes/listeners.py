"""The listening sockets of several processes: one per process and address, all on one port."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from shared.errors import OperatorError

Sockets = tuple[socket.socket, ...]
"""A process's sockets: one for each address of the host."""


@contextmanager
def listeners(host: str, port: int, processes: int) -> Iterator[tuple[Sockets, ...]]:
    """The bound sockets of each process. They accept connections once a process listens on them.

    Raises OperatorError if the address cannot be bound, another program listens there, or this is not Linux.
    """
    with ExitStack() as stack:
        if sys.platform != "linux":
            raise OperatorError("only Linux spreads connections over processes: set TAKT_GATEWAYS=1")
        try:
            _check_free(host, port)
            found = []
            for _ in range(processes):
                sockets = tuple(stack.enter_context(sock) for sock in _bound(host, port))
                found.append(sockets)
                port = sockets[0].getsockname()[1]
        except OSError as error:
            raise OperatorError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
        yield tuple(found)


def _check_free(host: str, port: int) -> None:
    """Raises OSError if the address is taken. With SO_REUSEPORT, two programs would share a port silently."""
    if port:
        for sock in _bound(host, port, shared=False):
            sock.close()


def _bound(host: str, port: int, *, shared: bool = True) -> Iterator[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
        except OSError:
            sock.close()
            raise
        yield sock
