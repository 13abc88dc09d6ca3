"""Shared reads: each caller gets a read that began after its call, at a limited rate."""

from __future__ import annotations

import asyncio

import pytest

from api.access.throttled_reads import ThrottledRead
from tests.unit.gateway_fakes import until


class Looks:
    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self) -> None:
        self.begun += 1
        await self.go_on.wait()
        self.ended += 1


async def test_waiting_callers_share_a_look() -> None:
    looks = Looks()
    look = ThrottledRead(looks, 0.0)
    await asyncio.gather(*(look() for _ in range(100)))
    assert looks.begun == 1


async def test_a_caller_during_a_look_gets_the_next_look() -> None:
    looks = Looks()
    looks.go_on.clear()
    look = ThrottledRead(looks, 0.0)
    first = asyncio.create_task(look())
    await until(lambda: looks.begun > 0)
    second = asyncio.create_task(look())
    await asyncio.sleep(0)
    assert looks.begun == 1
    looks.go_on.set()
    await asyncio.gather(first, second)
    assert looks.ended == 2


async def test_looks_keep_their_distance() -> None:
    looks = Looks()
    look = ThrottledRead(looks, 0.05)
    begun_s = asyncio.get_running_loop().time()
    for _ in range(4):
        await look()
    assert asyncio.get_running_loop().time() - begun_s >= 0.15


async def test_a_canceled_caller_does_not_end_the_look_of_the_others() -> None:
    looks = Looks()
    looks.go_on.clear()
    look = ThrottledRead(looks, 0.0)
    leaves, stays = asyncio.create_task(look()), asyncio.create_task(look())
    await until(lambda: looks.begun > 0)
    leaves.cancel()
    looks.go_on.set()
    await stays
    assert looks.ended == 1
    with pytest.raises(asyncio.CancelledError):
        await leaves
