"""A gateway that has started serves its first request: a successor on the same port gets requests at once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from api.app import create_app, prepare_routes
from api.gateway import Gateway
from shared.settings import Settings
from tests.unit.gateway_fakes import IRIS, IRIS_KEY, MODELS, FakeRedis, FakeWorker


async def test_workers_and_replies_are_known() -> None:
    worker = FakeWorker(FakeRedis(), IRIS)
    await worker.beat()
    gateway = Gateway(Settings(models_dir=MODELS, models="iris"), worker.client)
    await gateway.start()
    try:
        assert gateway.serves(IRIS_KEY)
        assert gateway.ready()
    finally:
        await gateway.close()


async def test_without_redis_it_starts_all_the_same_at_once() -> None:
    client = FakeRedis()
    client.server.connected = False
    gateway = Gateway(Settings(models_dir=MODELS, models="iris"), client)
    begun_s = time.monotonic()
    await gateway.start()
    try:
        assert time.monotonic() - begun_s < 1.0
        assert not gateway.ready()
    finally:
        await gateway.close()


async def test_no_request_waits_for_the_preparation_of_routes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[object] = []
    initialize = TypeAdapter.__init__

    def counted(self: TypeAdapter[Any], *words: Any, **named: Any) -> None:
        built.append(self)
        initialize(self, *words, **named)

    monkeypatch.setattr(TypeAdapter, "__init__", counted)
    app = create_app(Settings(models_dir=MODELS, payload_url=tmp_path.as_uri()), FakeRedis())
    prepare_routes(app)
    assert len(built) > 100
    built.clear()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        for path in ("/lanes", "/jobs", "/history", "/workers", "/models", "/status", "/versions"):
            await http.get(path)
    assert built == []
