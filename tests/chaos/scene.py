"""The stack under test: real processes on a Valkey that syncs every write, with readiness checks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import redis
from redis.exceptions import RedisError

from stack.live_workers import all_ready, workers_of
from tests.chaos import rpcs
from tests.chaos.supervision import Post
from tests.chaos.terrain import MODEL
from tests.support.servers import Server, free_port, valkey_binary
from tests.support.stack import Stack

REDIS = "redis"
WHOLE_S = 120.0
"""Time limit for the start of all parts on a busy machine."""
CHUNK_ROWS = 10_000
"""Smaller than the default, so that each fault meets many leased chunks."""
LOOK_EVERY_S = 0.2
LOOK_LIMIT_S = 3.0
"""Time limit of an answer from a gateway or Redis."""


@dataclass(frozen=True)
class Scene:
    """The running stack and its observation."""

    stack: Stack
    server: Server
    workers: tuple[str, ...]
    gateways: dict[str, str]  # name → URL
    rpc_ports: dict[str, int]  # by gateway; empty without the packages of gRPC
    client: redis.Redis
    http: httpx.Client

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self.gateways.values())

    @property
    def rpcs(self) -> tuple[str, ...]:
        """The addresses of the gateways for gRPC."""
        return tuple(f"127.0.0.1:{port}" for port in self.rpc_ports.values())

    @property
    def posts(self) -> dict[str, Post]:
        """Every process by its name."""
        parts = {name: Post(part, part.start) for name, part in self.stack.parts.items()}
        return parts | {REDIS: Post(self.server, self.server.launch)}

    def missing_parts(self) -> list[str]:
        """Wait for all parts within the time limit of a start, and return the names of missing parts."""
        end_s = time.monotonic() + WHOLE_S
        while (missing := self._missing()) and time.monotonic() < end_s:
            time.sleep(LOOK_EVERY_S)
        return missing

    def _missing(self) -> list[str]:
        try:
            workers = [name for name in self.workers if not self._serves(name)]
        except RedisError:
            return [REDIS]
        return workers + [name for name, url in self.gateways.items() if not self._is_ready(url)]

    def _serves(self, name: str) -> bool:
        part = self.stack.parts[name]
        return part.running and all_ready(workers_of(self.client, name, part.pid))

    def _is_ready(self, url: str) -> bool:
        try:
            return self.http.get(f"{url}/health/ready").is_success
        except httpx.HTTPError:
            return False


@contextmanager
def opened(folder: Path, *, workers: int, gateways: int) -> Iterator[Scene]:
    """Start everything, with the models under `folder`, and stop it after the block."""
    data = folder / "data"
    data.mkdir()
    settings = {
        "models_dir": str(folder / "models"),
        "default_model": MODEL,
        "chunk_rows": str(CHUNK_ROWS),
    }
    with ExitStack() as owned:
        server = owned.enter_context(Server(valkey_binary(), data, "--appendfsync", "always"))
        stack = Stack(server.url, folder, **settings)
        owned.callback(stack.stop)
        names = [f"gateway-{number + 1}" for number in range(gateways)]
        scene = Scene(
            stack,
            server,
            workers=tuple(f"worker-{number + 1}" for number in range(workers)),
            gateways={name: f"http://127.0.0.1:{free_port()}" for name in names},
            rpc_ports={name: free_port() for name in names if rpcs.AVAILABLE},
            client=owned.enter_context(redis.Redis.from_url(server.url, socket_timeout=LOOK_LIMIT_S)),
            http=owned.enter_context(httpx.Client(timeout=LOOK_LIMIT_S)),
        )
        for name in scene.workers:
            stack.worker(name, wait=False)
        for name, url in scene.gateways.items():
            rpc = {"grpc_port": str(scene.rpc_ports[name])} if rpcs.AVAILABLE else {}
            stack.gateway(name, port=int(url.rpartition(":")[2]), **rpc)
        if missing := scene.missing_parts():
            raise RuntimeError(f"{', '.join(missing)} did not start; see the logs in {folder}")
        yield scene
