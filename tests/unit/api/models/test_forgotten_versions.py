"""Redis keys of versions that left the store: they expire, so that deployments leave nothing behind."""

from __future__ import annotations

from fakeredis import FakeAsyncRedis

from api.models.deployment_store import RELEASED_S, Deployments
from shared import keys
from shared.keys import model_key

GONE, KEPT = model_key("double", "1.0.0"), model_key("double", "1.1.0")


async def test_the_stream_of_a_version_that_left_the_store_expires() -> None:
    client = FakeAsyncRedis()
    for key in (GONE, KEPT):
        await client.xgroup_create(keys.online(key), keys.WORKER_GROUP, id="0", mkstream=True)
        await client.hset(keys.clocks(), key, 1)
        for binding in keys.offline_bindings(key):
            await client.sadd(binding, "queue")
    await Deployments(client).release([GONE])
    assert 0 < await client.ttl(keys.online(GONE)) <= RELEASED_S
    assert await client.ttl(keys.online(KEPT)) == -1
    assert await client.hkeys(keys.clocks()) == [KEPT.encode()]
    assert await client.exists(*keys.offline_bindings(GONE)) == 0
    assert await client.exists(*keys.offline_bindings(KEPT)) == 2
