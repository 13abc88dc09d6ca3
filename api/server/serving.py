"""uvicorn's server with a graceful shutdown.

    SIGTERM ── drain ──▶ not ready, `Connection: close` ── leave ──▶ no new connections ── give up ──▶ exit
               at once   for TAKT_DRAIN_DELAY_S                      open requests are     a second before
                                                                     answered              the grace ends

During the drain delay a load balancer sees that this gateway is not ready, before connections are refused.
A second signal ends the delay at once.

One of several processes on a port (`api/processes/`) that has a successor accepts no more connections at
once. Clients that keep their connection then have `LINGER_S` to send another request, whose answer closes it.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Iterable
from types import FrameType
from typing import cast

import uvicorn

from api.gateway import Gateway
from api.processes.process_arguments import ProcessArguments
from api.server.parent_orders import ParentOrders
from api.server.protocol import LimitedProtocol
from shared.library_hooks import require_hooks
from shared.settings import Settings

require_hooks(
    "uvicorn",
    uvicorn.Server,
    ("startup", "handle_exit", "on_tick", "shutdown"),
    attributes=("config", "server_state", "should_exit"),
)

GIVE_UP_BEFORE_END_S = 1.0
"""Time before the end of the grace at which the remaining requests get an error and uploads are aborted."""
LINGER_S = 1.0


class GatewayServer(uvicorn.Server):
    """Serves until a signal stops it, then answers every accepted request before it exits."""

    def __init__(
        self,
        config: uvicorn.Config,
        gateway: Gateway,
        settings: Settings,
        arguments: ProcessArguments | None = None,
    ) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._arguments = arguments
        self._delay_s = settings.drain_delay_s
        self._finish_s = settings.shutdown_grace_s - settings.drain_delay_s - GIVE_UP_BEFORE_END_S
        self._leave_at_s: float | None = None
        self._signal: signal.Signals = signal.SIGTERM

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # modules and validators are never freed; collections that scan them delay requests
        if self._arguments is not None:
            self._orders = asyncio.create_task(ParentOrders(self._arguments, self).follow())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._gateway.lifecycle.drain()
        if self._leave_at_s is None and self._delay_s:
            self._signal, self._leave_at_s = signal.Signals(sig), time.monotonic() + self._delay_s
        else:
            super().handle_exit(sig, frame)

    def hand_over(self) -> None:
        """Leave the port to a successor that serves already: accept nothing more, then exit gracefully."""
        self._gateway.lifecycle.drain()
        self.accept_no_more(list(self.servers))
        self._leave_at_s = time.monotonic() + LINGER_S

    async def accept_from(self, sockets: Iterable[socket.socket]) -> list[asyncio.Server]:
        """Accept connections from these sockets too."""
        config, loop = self.config, asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = cast("type[LimitedProtocol]", config.http_protocol_class)(
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        added = [await loop.create_server(protocol, sock=sock, backlog=config.backlog) for sock in sockets]
        self.servers += added
        return added

    def accept_no_more(self, servers: Iterable[asyncio.Server]) -> None:
        for server in servers:
            server.close()
            self.servers.remove(server)

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second."""
        if self._leave_at_s is not None and time.monotonic() >= self._leave_at_s and not self.should_exit:
            super().handle_exit(self._signal, None)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.lifecycle.leave()
        giving_up = asyncio.get_running_loop().call_later(max(0.0, self._finish_s), self._gateway.give_up)
        await super().shutdown(sockets)
        giving_up.cancel()
