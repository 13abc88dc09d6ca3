"""The pipe between the event loop and an upload's thread: order, back-pressure, wake-ups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from api.jobs.upload_pipe import Pipe
from shared.errors import UploadInterruptedError

LIMIT_S = 30


async def woken_by(pipe: Pipe, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Number of times that the function, run in a thread, woke the loop."""
    calls: list[object] = []
    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patch:
        patch.setattr(pipe, "_loop", Waker(loop, calls))
        await loop.run_in_executor(None, act)
    return len(calls)


class Waker:
    """A fake of the event loop that counts wake-ups."""

    def __init__(self, loop: asyncio.AbstractEventLoop, calls: list[object]) -> None:
        self._loop = loop
        self._calls = calls

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        self._calls.append(callback)
        self._loop.call_soon_threadsafe(callback)


async def test_parts_are_read_in_their_order_and_cut_as_the_reader_asks() -> None:
    pipe = Pipe(100)
    for part in (b"ab", b"cde", b"f"):
        assert await pipe.put(part)
    pipe.end()
    assert await asyncio.to_thread(lambda: [pipe.read(4), pipe.read(4), pipe.read(4)]) == [
        b"abcd",
        b"ef",
        b"",
    ]


async def test_the_loop_is_not_woken_for_a_part_that_found_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe(100)
    for _ in range(5):
        await pipe.put(b"x")
    assert await woken_by(pipe, lambda: pipe.read(5), monkeypatch) == 0


async def test_who_waits_for_room_is_woken_once_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe(1)
    await pipe.put(b"x")
    waiting = asyncio.create_task(pipe.put(b"y"))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await woken_by(pipe, lambda: pipe.read(1), monkeypatch) == 1
    assert await asyncio.wait_for(waiting, LIMIT_S)


async def test_a_writer_that_waits_for_room_is_woken_when_the_pipe_breaks_off() -> None:
    pipe = Pipe(1)
    await pipe.put(b"x")
    waiting = asyncio.create_task(pipe.put(b"y"))
    await asyncio.sleep(0)
    await asyncio.to_thread(pipe.break_off)
    assert not await asyncio.wait_for(waiting, LIMIT_S)
    with pytest.raises(UploadInterruptedError):
        await asyncio.to_thread(pipe.read, 1)
