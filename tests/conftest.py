"""Fixtures that every suite may use: real servers, the models, and a running Takt, each started once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shared.settings import environment
from tests.support.polling import eventually
from tests.support.servers import Server, redis_binary, valkey_binary
from tests.support.stack import ROOT, STARTS_S, Stack, running, wait_until_ready


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long-faults", action="store_true", help="let each fault last a minute")


@pytest.fixture(scope="session")
def fault_s(request: pytest.FixtureRequest) -> float:
    """How long a fault lasts: a minute with `--long-faults`, less in CI."""
    return 60.0 if request.config.getoption("--long-faults") else 4.0


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The Valkey 9 that ships with `takt up`."""
    with Server(valkey_binary(), _folder(tmp_path_factory, "valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def redis7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Redis 7.0, the oldest that Takt promises to run on."""
    with Server(redis_binary(), _folder(tmp_path_factory, "redis")) as server:
        yield server


@pytest.fixture(scope="session")
def models() -> Path:
    """The shipped models, built if they are missing."""
    folder = ROOT / "models"
    command = [sys.executable, "-m", "worker", "build"]
    subprocess.run(
        command, cwd=ROOT, env=environment({"models_dir": str(folder)}), check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="session")
def stack_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The Valkey of `stack` alone: its worker would take the jobs of others, and expire them."""
    with Server(valkey_binary(), tmp_path_factory.mktemp("stack_queue")) as server:
        yield server


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey for the stack that a module starts for itself."""
    with Server(valkey_binary(), tmp_path_factory.mktemp("queue")) as server:
        yield server


@pytest.fixture(scope="session")
def stack(stack_queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway and a worker that holds every model."""
    with running(stack_queue.url, tmp_path_factory.mktemp("stack")) as started:
        started.gateway()
        started.worker("worker")
        wait_until_ready(started)
        eventually(lambda: started.serves("worker"), limit_s=STARTS_S)  # every model, not the default alone
        yield started


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def _folder(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name)
