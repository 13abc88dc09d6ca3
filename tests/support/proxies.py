"""A TCP proxy that can freeze its connections while their sockets stay open, like a firewall."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

from tests.support.servers import free_port

_PIECE_BYTES = 65536


class Proxy:
    """Forwards its port to another port, until it is frozen."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._flows: list[_Flow] = []
        self._partition = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def part(self) -> None:
        """Stop forwarding. Existing connections, and new connections until `heal`, hang permanently."""
        self._partition.set()
        for flow in self._flows:
            flow.hang()

    def heal(self) -> None:
        """Forward new connections again; old connections stay half open."""
        self._partition.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for flow in self._flows:
            flow.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port), timeout=1.0)
            except OSError:
                client.close()
                continue
            flow = _Flow(client, server)
            self._flows.append(flow)
            if self._partition.is_set():
                flow.hang()


class _Flow:
    """Two sockets with a thread for each direction."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._ends = client, server
        self._hangs = threading.Event()
        server.settimeout(None)
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def hang(self) -> None:
        self._hangs.set()

    def close(self) -> None:
        for end in self._ends:
            end.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(_PIECE_BYTES):
                if self._hangs.is_set():
                    return  # both sockets stay open without a reader
                sink.sendall(piece)
        except OSError:
            pass
        if not self._hangs.is_set():
            self.close()
