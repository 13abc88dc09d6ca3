"""The orders of the parent to one of several gateway processes (`api/processes/process_arguments.py`)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterable
from itertools import chain
from types import FrameType
from typing import Protocol

from api.processes.process_arguments import LEAVE, LISTEN, READY, ProcessArguments


class OrderedServer(Protocol):
    """The methods that orders call; `GatewayServer` is one."""

    async def accept_from(self, sockets: Iterable[socket.socket]) -> list[asyncio.Server]: ...
    def accept_no_more(self, servers: Iterable[asyncio.Server]) -> None: ...
    def hand_over(self) -> None: ...
    def handle_exit(self, sig: int, frame: FrameType | None) -> None: ...


class ParentOrders:
    """Follows the orders of the parent."""

    def __init__(self, arguments: ProcessArguments, server: OrderedServer) -> None:
        self._arguments = arguments
        self._server = server
        self._adopted: dict[int, list[asyncio.Server]] = {}  # by slot without a process

    async def follow(self) -> None:
        """Report that this process serves, then follow orders. The end of the parent is an order to stop."""
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=self._arguments.control))
        writer.write(READY + b"\n")
        while line := await reader.readline():
            order, *slots = line.split()
            if order == LEAVE:
                self._server.hand_over()
            elif order == LISTEN:
                await self._accept_from({int(slot) for slot in slots} - {self._arguments.slot})
        for fd in chain.from_iterable(self._arguments.listeners):  # a new parent can then use the port
            os.close(fd)
        self._server.handle_exit(signal.SIGTERM, None)

    async def _accept_from(self, slots: set[int]) -> None:
        """Accept from the sockets of these slots, besides the own."""
        for slot in self._adopted.keys() - slots:
            self._server.accept_no_more(self._adopted.pop(slot))
        for slot in slots - self._adopted.keys():
            self._adopted[slot] = await self._server.accept_from(sockets_of(self._arguments, slot))


def sockets_of(arguments: ProcessArguments, slot: int) -> list[socket.socket]:
    """Copies of a slot's inherited listening sockets: closing one does not close the parent's."""
    return [socket.socket(fileno=os.dup(fd)) for fd in arguments.listeners[slot]]
