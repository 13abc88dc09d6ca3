"""uvicorn's server, and how it stops.

    SIGTERM ── drain ──▶ not ready, `Connection: close` ── leave ──▶ no new connections ── give up ──▶ exit
               at once   for TAKT_DRAIN_DELAY_S                      what was taken is     a second before
                                                                     answered              the grace is over

The drain delay is for a load balancer, which needs to see that this gateway is not ready before its
connections are refused. A second signal cuts it short.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import time
from types import FrameType

import uvicorn

from api.gateway import Gateway
from shared.library_hooks import require_hooks
from shared.settings import Settings

require_hooks("uvicorn", uvicorn.Server, ("startup", "handle_exit", "on_tick", "shutdown"))

LAST_WORDS_S = 1.0
"""What requests that cannot be answered within the grace have for an error, and their uploads to end."""


class GatewayServer(uvicorn.Server):
    """Serves until it is told to stop; then every request that it took has an answer."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, settings: Settings) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._delay_s = settings.drain_delay_s
        self._finish_s = settings.shutdown_grace_s - settings.drain_delay_s - LAST_WORDS_S
        self._leave_at_s: float | None = None
        self._told: signal.Signals = signal.SIGTERM

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # modules and validators stay: going through all of them again held up requests

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._gateway.lifecycle.drain()
        if self._leave_at_s is None and self._delay_s:
            self._told, self._leave_at_s = signal.Signals(sig), time.monotonic() + self._delay_s
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if self._leave_at_s is not None and time.monotonic() >= self._leave_at_s and not self.should_exit:
            super().handle_exit(self._told, None)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.lifecycle.leave()
        giving_up = asyncio.get_running_loop().call_later(max(0.0, self._finish_s), self._gateway.give_up)
        await super().shutdown(sockets)
        giving_up.cancel()
