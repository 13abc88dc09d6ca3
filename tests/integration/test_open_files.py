"""A gateway with few open files: it refuses to start, or it serves the reported number of clients."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from shared.settings import environment
from tests.support.polling import eventually
from tests.support.servers import Server, free_port
from tests.support.stack import ROOT, STARTS_S

pytestmark = pytest.mark.integration


@contextmanager
def gateway(server: Server, files: int, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A gateway that may open so many files. → it, its port and its log"""
    port, log = free_port(), folder / "gateway.log"
    settings = {"redis_url": server.url, "port": str(port), "payload_url": (folder / "payloads").as_uri()}
    command = f"ulimit -n {files}; exec {sys.executable} -m api"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=ROOT, env=environment(settings), stdout=out, stderr=out
        )
    try:
        yield process, port, log
    finally:
        process.kill()
        process.wait()


def test_a_gateway_with_too_few_files_says_so_and_ends(valkey: Server, tmp_path: Path) -> None:
    with gateway(valkey, 100, tmp_path) as (process, _, log):
        assert process.wait(STARTS_S) == 1
        assert "may open 100 files, and a gateway needs at least 128" in log.read_text()


@pytest.mark.parametrize("files", [128, 256])
def test_a_gateway_with_few_files_serves_half_as_many_clients(
    valkey: Server, tmp_path: Path, files: int
) -> None:
    with gateway(valkey, files, tmp_path) as (process, port, log), ExitStack() as clients:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(f"{url}/health/live"), limit_s=STARTS_S)
        assert f"connections={files // 2}" in log.read_text()
        for _ in range(files // 2 - 1):
            clients.enter_context(socket.create_connection(("127.0.0.1", port)))
        answer = httpx.get(f"{url}/models", timeout=10)
        assert answer.status_code == 200
        clients.enter_context(socket.create_connection(("127.0.0.1", port)))
        refused = httpx.get(f"{url}/models", timeout=10)
        assert (refused.status_code, refused.json()["error"]) == (503, "overloaded")
        assert process.poll() is None


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
