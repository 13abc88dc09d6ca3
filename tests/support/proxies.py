"""A TCP proxy whose connections can be made to hang while their sockets stay open, as a firewall does."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

from tests.support.servers import free_port

_PIECE_BYTES = 65536


class Proxy:
    """Forwards a port of its own to another, until told to stop forwarding."""

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
        """Nothing passes any more: what is connected hangs for good, as does who connects until `heal`."""
        self._partition.set()
        for flow in self._flows:
            flow.hang()

    def heal(self) -> None:
        """New connections pass again; the old ones stay half open."""
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
    """Two sockets and a thread for each way."""

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
                    return  # both sockets stay open, and nobody reads them any more
                sink.sendall(piece)
        except OSError:
            pass
        if not self._hangs.is_set():
            self.close()
