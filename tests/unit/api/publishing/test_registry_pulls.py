"""The deployments that events of a registry cause. The version of the events is published already."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.gateway import Gateway
from shared import keys
from shared.deployments import MOST_WANTED, Change, Deployment, Target
from shared.registry_events import RegistryEvent
from tests.unit.gateway_fakes import FakeRedis, running_gateway, until

OTHERS = tuple(f"9.{number}.0" for number in range(MOST_WANTED))


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def gateway(client: FakeRedis, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running_gateway(client, tmp_path) as (gateway, _):
        await until(lambda: gateway.queue.up)
        yield gateway


async def deployed(gateway: Gateway, before: Target) -> Target:
    """The target after an alias is set to version 1 of the model."""
    change = Change(by="ops")
    await gateway.deployments.change(Deployment(model="iris", target=before, change=change), 0)
    at_us = time.time_ns() // 1000
    event = RegistryEvent(
        registered="iris", number="1", alias="champion", at_us=at_us, deploys=True, by="mlflow"
    )
    assert await gateway.registry_pulls.add(event)
    await until(lambda: gateway.deployments.known["iris"].change.by == "mlflow")
    found = await gateway.deployments.read("iris")
    assert found is not None
    return found.target


async def test_an_alias_deploys_its_version_beside_the_others(gateway: Gateway) -> None:
    before = Target(wanted=OTHERS[:2], default=OTHERS[0], aliases={"old": OTHERS[1]})
    after = await deployed(gateway, before)
    assert after == Target(wanted=(*OTHERS[:2], "1.0.0"), default="1.0.0", aliases={"old": OTHERS[1]})


async def test_the_first_version_without_a_use_makes_room_for_another(gateway: Gateway) -> None:
    before = Target(wanted=OTHERS, default=OTHERS[1], aliases={"old": OTHERS[0]})
    after = await deployed(gateway, before)
    assert after.wanted == (*OTHERS[:2], *OTHERS[3:], "1.0.0")


async def test_an_event_of_a_newer_gateway_is_left_to_it(gateway: Gateway, client: FakeRedis) -> None:
    await client.hset(keys.registry_events(), "newer", '{"registered": "iris", "number": {"major": 2}}')
    await deployed(gateway, Target(wanted=OTHERS[:1], default=OTHERS[0]))
    assert await client.hexists(keys.registry_events(), "newer")
