"""A gateway that has started serves its first request: a successor on the same port gets requests at once."""

from __future__ import annotations

import time

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
