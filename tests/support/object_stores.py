"""A real S3 API server for tests: moto's, in a separate process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.support.polling import eventually
from tests.support.servers import free_port

BUCKET = "payloads"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIATESTONLY", "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests"}
"""Environment variables for obstore, as in a deployment."""


@dataclass(frozen=True)
class S3:
    endpoint: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def url(self, prefix: str, *, bucket: str = BUCKET) -> str:
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}&region=us-east-1"

    def keys(self, prefix: str) -> list[str]:
        """The stored objects according to the server, not through obstore."""
        listing = httpx.get(f"{self.endpoint}/{BUCKET}", params={"list-type": "2", "prefix": prefix}).text
        return [part.partition("</Key>")[0] for part in listing.split("<Key>")[1:]]


@contextmanager
def s3_server() -> Iterator[S3]:
    """Start a server with an empty bucket, and stop it after the block."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = S3(f"http://127.0.0.1:{port}", process)
    try:
        eventually(lambda: _has_bucket(server), limit_s=60.0, every_s=0.1)
        yield server
    finally:
        server.stop()


def _has_bucket(server: S3) -> bool:
    try:
        return httpx.put(f"{server.endpoint}/{BUCKET}", timeout=5.0).is_success
    except httpx.HTTPError:
        return False
