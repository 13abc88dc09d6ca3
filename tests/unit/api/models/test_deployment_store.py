"""Deployments that Redis may store."""

from __future__ import annotations

import pytest
from fakeredis import FakeAsyncRedis

from api.models.deployment_store import Deployments
from shared.deployments import MOST_WANTED, Change, Deployment, Target
from shared.errors import InvalidInputError


def deployment(versions: int) -> Deployment:
    wanted = tuple(f"{number}.0.0" for number in range(versions))
    return Deployment(model="iris", target=Target(wanted=wanted, default="0.0.0"), change=Change(by="ops"))


async def test_a_deployment_with_too_many_versions_is_refused_because_it_could_not_be_read() -> None:
    deployments = Deployments(FakeAsyncRedis())
    stored = await deployments.change(deployment(MOST_WANTED), 0)
    with pytest.raises(InvalidInputError, match="more than 32 versions"):
        await deployments.change(deployment(MOST_WANTED + 1), stored.generation)
    assert await deployments.read("iris") == stored
