"""Sampling for shadow versions: after the answer, by share, within bounds, and nothing without a shadow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.models.catalog import Catalog
from api.online.inflight import InflightRequest, InflightRequests
from api.online.shadow_sampler import ShadowSampler
from shared import keys
from shared.columns import encode_rows
from shared.deployments import Change, Deployment, Target
from shared.keys import model_key
from shared.messages import SCHEMA, EntryAnswer, Reply
from shared.output_columns import OutputDtypes, output_dtypes
from shared.repository import open_repository
from shared.rollouts import Rollout, Rules
from shared.shadowing import MOST_ENTRIES, Shadow, ShadowCount, ShadowEntry, decode_shadow, read_figures
from tests.unit.gateway_fakes import IRIS, IRIS_KEY, IRIS_ROW, MODELS, FakeRedis

SHADOW_KEY = model_key("iris", "1.1.0")


def deployed(shadow: Shadow | None, **more: Any) -> Deployment:
    target = Target(wanted=("1.0.0", "1.1.0"), default="1.0.0", shadow=shadow)
    return Deployment(model="iris", target=target, change=Change(by="me"), generation=7, **more)


class FakeFleet:
    """A fleet in which every version is held, or none."""

    def __init__(self, holders: int = 1) -> None:
        self._holders = holders

    def matching_holders(self, _: str) -> int:
        return self._holders


@pytest.fixture
async def sampler() -> AsyncIterator[tuple[ShadowSampler, InflightRequests, FakeRedis]]:
    client, inflight = FakeRedis(), InflightRequests()
    yield ShadowSampler(client, inflight, chance=lambda: 0.5), inflight, client
    await client.aclose()


def catalog() -> Catalog:
    found = Catalog(open_repository(MODELS), "iris")
    found.learn("iris", ["1.1.0"])
    return found


def follow(sampler: ShadowSampler, deployment: Deployment, holders: int = 1) -> None:
    fleet: Any = FakeFleet(holders)  # Any: a stand-in
    sampler.follow([deployment], catalog(), fleet)


class Outcome:
    def __init__(self) -> None:
        self.answered = False

    def done(self) -> bool:
        return self.answered

    def set_result(self, _: object, /) -> None:
        self.answered = True

    def set_exception(self, error: Exception, /) -> None:
        raise error


def answer(inflight: InflightRequests, rows: int = 1, *, output_dtypes: OutputDtypes = ()) -> InflightRequest:
    """A request that is opened and answered."""
    columns = encode_rows(IRIS, [IRIS_ROW] * rows)
    request = inflight.open(
        IRIS_KEY,
        [columns],
        [rows],
        outcome=Outcome(),
        since_s=0.0,
        deadline_s=9.0,
        left=lambda: False,
        output_dtypes=output_dtypes,
    )
    found = EntryAnswer(request.id, 0, 0.0, [["setosa"] * rows, [0.9] * rows])
    inflight.settle(Reply(SCHEMA, "w", rows, 0.0, 0.0, [found]))
    return request


async def entries(client: FakeRedis) -> list[ShadowEntry]:
    stored: Any = await client.lrange(keys.shadow(SHADOW_KEY), 0, -1)
    return [entry for entry in map(decode_shadow, stored) if entry]


async def test_an_answered_request_goes_to_the_shadow_with_its_answer(sampler: Any) -> None:
    found, inflight, client = sampler
    follow(found, deployed(Shadow(version="1.1.0", share=0.6, tolerance=0.1)))
    request = answer(inflight, rows=2)
    await found.write()
    (entry,) = await entries(client)
    assert (entry.version, entry.generation, entry.tolerance, entry.rows) == ("1.0.0", 7, 0.1, 2)
    assert entry.columns == request.parts[0]
    assert dict(zip(entry.outputs, entry.answer, strict=True)) == {
        "prediction": ["setosa", "setosa"],
        "confidence": [0.9, 0.9],
    }
    assert await client.ttl(keys.shadow(SHADOW_KEY)) > 0
    assert found.rows[SHADOW_KEY, "sent"] == 2


async def test_nothing_is_sampled_beyond_the_share_or_without_a_holder_or_a_shadow(sampler: Any) -> None:
    found, inflight, client = sampler
    follow(found, deployed(Shadow(version="1.1.0", share=0.4)))
    answer(inflight)
    for deployment, holders in ((deployed(Shadow(version="1.1.0", share=1)), 0), (deployed(None), 1)):
        follow(found, deployment, holders)
        assert inflight.on_answer is None, "a request costs nothing more"
        answer(inflight)
    assert await entries(client) == []


async def test_a_rollout_with_a_limit_of_disagreement_shadows_its_new_version(sampler: Any) -> None:
    found, inflight, client = sampler
    rules = Rules(max_disagreement=0.01, shadow_share=1.0, tolerance=0.5)
    rollout = Rollout(id="r", of="1.0.0", to="1.1.0", steps=(10.0,), hold_s=60, rules=rules)
    follow(found, deployed(None, rollout=rollout))
    answer(inflight)
    await found.write()
    (entry,) = await entries(client)
    assert entry.tolerance == 0.5


async def test_what_finds_no_room_is_dropped_and_counted(sampler: Any) -> None:
    found, inflight, client = sampler
    follow(found, deployed(Shadow(version="1.1.0", share=1)))
    for _ in range(MOST_ENTRIES + 3):  # more than a gateway queues
        answer(inflight)
    await found.write()
    answer(inflight, rows=5)  # no room in Redis
    await found.write()
    assert len(await entries(client)) == MOST_ENTRIES
    assert found.rows[SHADOW_KEY, "dropped"] == 3 + 5
    figures = read_figures(await client.hgetall(keys.shadow_counts("iris", 7)))
    assert figures.counts[ShadowCount.DROPPED] == 5


async def test_a_request_that_is_too_large_is_not_shadowed(sampler: Any) -> None:
    found, inflight, client = sampler
    follow(found, deployed(Shadow(version="1.1.0", share=1)))
    answer(inflight, rows=5000)
    await found.write()
    assert await entries(client) == []
    assert found.rows[SHADOW_KEY, "dropped"] == 5000


async def test_a_request_that_was_sent_for_binary_outputs_before_there_was_a_shadow_is_not_sampled(
    sampler: Any,
) -> None:
    found, inflight, client = sampler
    follow(found, deployed(Shadow(version="1.1.0", share=0.6)))
    answer(inflight, output_dtypes=output_dtypes(IRIS))
    answer(inflight, rows=3)
    await found.write()
    assert [entry.rows for entry in await entries(client)] == [3]
