"""A primary, its replica and a Sentinel as processes, for tests of a failover."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.exceptions import RedisError, ResponseError

from tests.support.polling import eventually
from tests.support.servers import Server, free_port

SERVICE = "takt"
DOWN_AFTER_MS = 2500
"""With a smaller value Sentinel considers a primary dead while still connecting to it after a switch."""


class SentinelPair:
    """`url` names the Sentinel; `primary` is its current primary."""

    def __init__(self, binary: str, folder: Path, *options: str) -> None:
        self._binary, self._folder = binary, folder
        self._port = free_port()
        self._servers = [Server(binary, _made(folder / name), *options) for name in ("one", "two")]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self._port}/{SERVICE}"

    @property
    def primary(self) -> Server:
        with self._sentinel() as client:
            found = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(server for server in self._servers if server.port == int(found[1]))

    @property
    def replica(self) -> Server:
        primary = self.primary
        return next(server for server in self._servers if server is not primary)

    def fail_over(self) -> None:
        """Switch the roles while both servers are alive, as for maintenance.

        The failover is coordinated (Valkey 9): the old primary becomes a replica at once, not after 8 s.
        """
        before = self.primary
        eventually(self._exchanging, limit_s=20, every_s=0.2)
        eventually(lambda: self.primary is not before, limit_s=20, every_s=0.1)

    def start(self) -> None:
        one, two = (server.start() for server in self._servers)
        with two.client() as client:
            client.replicaof("127.0.0.1", one.port)
            eventually(lambda: client.info("replication")["master_link_status"] == "up")
        lines = (
            f"port {self._port}",
            "bind 127.0.0.1",
            f"dir {self._folder}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {one.port} 1",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
        )
        configuration = self._folder / "sentinel.conf"
        configuration.write_text("\n".join(lines) + "\n")
        command = [self._binary, str(configuration), "--sentinel"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._knows_the_replica, limit_s=20, every_s=0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(timeout=20)
        for server in self._servers:
            server.kill()

    def _sentinel(self) -> redis.Redis:
        return redis.Redis(port=self._port, socket_timeout=5.0)

    def _exchanging(self) -> bool:
        try:
            with self._sentinel() as client:
                return bool(client.execute_command("SENTINEL", "FAILOVER", SERVICE, "COORDINATED"))
        except ResponseError:  # NOGOODSLAVE: Sentinel has not checked the replica yet
            return False

    def _knows_the_replica(self) -> bool:
        try:
            with self._sentinel() as client:
                return bool(client.execute_command("SENTINEL", "REPLICAS", SERVICE))
        except RedisError:
            return False


@contextlib.contextmanager
def sentinel_pair(binary: str, folder: Path, *options: str) -> Iterator[SentinelPair]:
    pair = SentinelPair(binary, folder, *options)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
