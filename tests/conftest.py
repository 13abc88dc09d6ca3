"""Fixtures that every suite may use: real servers, started once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import Server, redis_binary, valkey_binary


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


def _folder(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name)
