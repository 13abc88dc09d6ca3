"""Publications of which a gateway, a worker or Redis was away."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from fakeredis import FakeAsyncRedis
from redis.exceptions import ConnectionError as RedisIsAway

from api.publishing.publisher import Publisher
from api.publishing.verifications import Verifications
from shared import keys
from shared.keys import model_key
from shared.publications import Candidate, Publication, PublicationState, Verdict, encode

CANDIDATE = Candidate(
    id="c", model="iris", version="1.1.0", place=".incoming/c", files={}, expires_at_ms=10**15
)
ATTEMPT = Publication(
    id="c", version="1.1.0", state=PublicationState.VERIFYING, at="2026-01-01", by="ops", size_bytes=1
)


class AwayFor(FakeAsyncRedis):
    """Redis that is away for a number of reads."""

    reads = 3

    async def mget(self, *names: Any) -> Any:
        self.reads -= 1
        if self.reads >= 0:
            raise RedisIsAway("restarting")
        return await super().mget(*names)


async def test_a_verdict_is_read_although_redis_was_away_meanwhile() -> None:
    client = AwayFor()
    await client.set(keys.verdict("c"), encode(Verdict(rows_per_s=7.0, worker="w")))
    async with asyncio.timeout(20):
        found = await Verifications(client, 60.0, lambda: True).verdict_of(CANDIDATE)
    assert (found.rows_per_s, client.reads) == (7.0, -1)
    assert not await client.hlen(keys.candidates())


@pytest.mark.parametrize("lives", [True, False])
async def test_the_publication_of_a_gateway_that_was_killed_does_not_stay_verifying(lives: bool) -> None:
    client, none = FakeAsyncRedis(), cast(Any, None)
    await client.hset(keys.publications("iris"), "1.1.0", encode(ATTEMPT))
    if lives:
        await client.set(keys.publishing(model_key("iris", "1.1.0")), "a gateway", px=30_000)
    (found,) = await Publisher(client, none, none, none, none).attempts("iris")
    if lives:
        assert found == ATTEMPT
    else:
        assert found.state is PublicationState.REFUSED
        assert "publish it again" in found.reason
