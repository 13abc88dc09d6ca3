"""One gateway of all records conditions and notifies a receiver: once when they begin, once when they end."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from api.gateway import Gateway
from api.status.condition_recorder import OWN, ConditionRecorder
from api.status.notifications import ConditionNotifier
from api.status.status_watch import StatusWatch
from shared import keys
from shared.conditions import StatusFacts
from shared.conditions.episodes import (
    RETRY_FOR_MS,
    Stage,
    after_attempt,
    is_due,
    next_episodes,
)
from shared.conditions.records import Condition, Standing
from shared.settings import Settings
from tests.support.incidents import HEALTHY, INCIDENTS, NOW_MS
from tests.support.receivers import Answer, Receiver, receiver
from tests.unit.gateway_fakes import MODELS, FakeRedis, running_gateway

SECRET = "whsec_" + "A" * 32
LETTERS = Standing(Condition("dead_letters", "", {"count": 3}), NOW_MS)


@dataclass
class Looker:
    """A gateway's watch and recorder, over facts that the test sets."""

    watch: StatusWatch
    recorder: ConditionRecorder
    facts: StatusFacts = HEALTHY

    async def observe(self, facts: StatusFacts, *, later_s: float = 0.0) -> None:
        self.facts = replace(facts, now_ms=facts.now_ms + round(later_s * 1000))
        self.watch._looked_at_s = float("-inf")
        await self.recorder.run()


async def looker(client: FakeRedis, name: str, to: Receiver) -> Looker:
    settings = Settings(models_dir=MODELS, notify_url=to.url, webhook_secret=SECRET, gateway_name=name)
    gateway = Gateway(settings, client)
    watch = StatusWatch(gateway.status.gatherer, client)
    made = Looker(watch, ConditionRecorder(watch, client, ConditionNotifier(settings)))

    async def gather() -> StatusFacts:
        return made.facts

    object.__setattr__(watch.gatherer, "gather", gather)
    return made


def types_of(to: Receiver) -> list[str]:
    return [json.loads(one.body)["type"] for one in to.received]


async def test_a_receiver_is_notified_once_of_the_begin_and_once_of_the_end() -> None:
    client = FakeRedis()
    with receiver() as to:
        one, two = [await looker(client, name, to) for name in ("one", "two")]
        for _ in range(3):
            await asyncio.gather(
                one.observe(INCIDENTS["dead_letters"]), two.observe(INCIDENTS["dead_letters"])
            )
        assert types_of(to) == ["condition.fired"]
        for _ in range(3):
            await one.observe(HEALTHY, later_s=60)
            await two.observe(HEALTHY, later_s=60)
        assert types_of(to) == ["condition.fired", "condition.cleared"]
        assert await client.hlen(keys.conditions()) == 0


async def test_a_notification_is_signed_like_the_webhook_of_a_job() -> None:
    with receiver() as to:
        one = await looker(FakeRedis(), "one", to)
        await one.observe(INCIDENTS["dead_letters"])
    [got] = to.received
    told = Webhook(SECRET).verify(got.body, got.headers)
    assert told["data"] == {
        "code": "dead_letters",
        "severity": "warning",
        "since": told["timestamp"],
        "subject": "",
        "message": "3 messages or records could not be read and were set aside.",
        "remedy": "Run takt dead-letters list, then requeue or drop.",
    }
    assert got.headers["ce-type"] == "takt.condition.fired"
    assert got.headers["ce-id"] == got.headers["webhook-id"]


def test_two_subjects_of_a_condition_that_begin_together_are_two_messages() -> None:
    failed = [Condition("model_failed", key, {"count": 1, "reason": "x"}) for key in ("iris@1", "quality@1")]
    episodes = next_episodes({}, [Standing(one, NOW_MS) for one in failed], NOW_MS, notifies=True)
    assert len({episode.event_id for episode in episodes.values()}) == 2


async def test_another_gateway_goes_on_with_what_the_first_could_not_deliver() -> None:
    client = FakeRedis()
    with receiver(Answer(503), Answer(503), Answer(204)) as to:
        one, two = [await looker(client, name, to) for name in ("one", "two")]
        await one.observe(INCIDENTS["dead_letters"])
        await one.observe(INCIDENTS["dead_letters"])  # not due yet
        assert len(to.received) == 1
        await client.delete(keys.conditions_lock())  # the first gateway has died
        await two.observe(INCIDENTS["dead_letters"], later_s=3)
        await two.observe(INCIDENTS["dead_letters"], later_s=30)
        await two.observe(INCIDENTS["dead_letters"], later_s=60)
    assert len({one.headers["webhook-id"] for one in to.received}) == 1
    assert len(to.received) == 3


@pytest.mark.parametrize("code", OWN)
async def test_that_redis_is_down_or_read_only_is_notified_without_redis(code: str) -> None:
    client = FakeRedis()
    with receiver() as to:
        one = await looker(client, "one", to)
        await one.observe(HEALTHY)
        client.server.connected = False
        await one.observe(INCIDENTS[code])
        await one.observe(INCIDENTS[code], later_s=5)
        client.server.connected = True
        await one.observe(HEALTHY, later_s=10)
        await one.observe(HEALTHY, later_s=11)
    assert types_of(to) == ["condition.fired", "condition.cleared"]


async def test_a_beginning_outlives_the_gateway_that_saw_it(tmp_path: Path) -> None:
    client = FakeRedis()
    await client.zadd(keys.webhooks(), {"j": 1})
    await client.xadd(keys.job_webhook("j"), {"status": "500"})
    begun = []
    for _ in range(2):
        async with running_gateway(client, tmp_path, models="iris") as (gateway, _http):
            await gateway._recorder.run()
            standing = {one.condition.code: one.since_ms for one in gateway.status.latest}
            begun.append(standing["webhooks_fail"])
            await asyncio.sleep(0)
    assert begun[0] == begun[1]


# -- episodes ----------------------------------------------------------------------------------------------


def test_what_ended_before_it_was_delivered_is_not_notified() -> None:
    begun = next_episodes({}, [LETTERS], NOW_MS, notifies=True)
    assert next_episodes(begun, [], NOW_MS + 1, notifies=True) == {}


def test_without_a_receiver_an_episode_ends_with_its_condition() -> None:
    [(id_, episode)] = next_episodes({}, [LETTERS], NOW_MS, notifies=False).items()
    told = after_attempt(episode, NOW_MS, delivered=True)
    assert told is not None
    assert next_episodes({id_: told}, [], NOW_MS + 1, notifies=False) == {}


def test_an_end_that_cannot_be_delivered_is_given_up_after_a_day() -> None:
    [(id_, episode)] = next_episodes({}, [LETTERS], NOW_MS, notifies=True).items()
    told = after_attempt(episode, NOW_MS, delivered=True)
    assert told is not None
    ending = next_episodes({id_: told}, [], NOW_MS, notifies=True)[id_]
    assert (ending.stage, ending.ended_ms) == (Stage.ENDING, NOW_MS)
    later = after_attempt(ending, NOW_MS, delivered=False)
    assert later is not None
    assert not is_due(later, NOW_MS + 1000)
    assert is_due(later, NOW_MS + 3000)
    assert next_episodes({id_: later}, [], NOW_MS + RETRY_FOR_MS, notifies=True) == {}


def test_a_condition_that_returns_before_its_end_is_delivered_is_a_new_episode() -> None:
    [(id_, episode)] = next_episodes({}, [LETTERS], NOW_MS, notifies=True).items()
    told = after_attempt(episode, NOW_MS, delivered=True)
    assert told is not None
    ending = next_episodes({id_: told}, [], NOW_MS + 1, notifies=True)
    again = next_episodes(ending, [Standing(LETTERS.condition, NOW_MS + 2)], NOW_MS + 2, notifies=True)
    assert (again[id_].stage, again[id_].since_ms) == (Stage.NEW, NOW_MS + 2)
