"""Calls that arrive in successive turns of the event loop go on together."""

from __future__ import annotations

import asyncio

from api.rpc.grpc_gathering import Gathering


async def turns_of(gathering: Gathering, delay_turns: int, ended: list[int], clock: list[int]) -> None:
    for _ in range(delay_turns):
        await asyncio.sleep(0)
    with gathering:
        await gathering.wait()
        ended.append(clock[0])


async def counted(clock: list[int]) -> None:
    while True:
        await asyncio.sleep(0)
        clock[0] += 1


async def test_calls_of_successive_turns_are_released_together() -> None:
    gathering, ended, clock = Gathering(), list[int](), [0]
    counter = asyncio.create_task(counted(clock))
    with gathering:  # another call is in progress
        await asyncio.gather(*(turns_of(gathering, delay, ended, clock) for delay in range(4)))
    counter.cancel()
    assert len(ended) == 4
    assert max(ended) - min(ended) <= 1


async def test_a_call_alone_does_not_wait() -> None:
    gathering, ended, clock = Gathering(), list[int](), [0]
    counter = asyncio.create_task(counted(clock))
    await turns_of(gathering, 0, ended, clock)
    counter.cancel()
    assert ended == [0]


async def test_a_cancelled_call_does_not_release_the_others() -> None:
    gathering, ended, clock = Gathering(), list[int](), [0]
    with gathering:
        calls = [asyncio.create_task(turns_of(gathering, 0, ended, clock)) for _ in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        await asyncio.wait(calls)
    assert calls[0].cancelled()
    assert len(ended) == 2
