"""The processes of a port answer each other over Unix sockets."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from pathlib import Path

import pytest

from api.processes import siblings
from api.processes.process_arguments import ProcessArguments
from api.processes.siblings import Siblings


def process(folder: Path, slot: int, count: int = 3) -> Siblings:
    return Siblings(ProcessArguments(slot=slot, control=0, listeners=((0,),) * count, folder=str(folder)))


async def test_a_process_gets_the_answers_of_the_others_in_the_order_of_their_slots(tmp_path: Path) -> None:
    first, second, third = (process(tmp_path, slot) for slot in range(3))
    with closing(first), closing(second), closing(third):
        await third.start(lambda question: f"{third.label}: {question}".encode())
        await second.start(lambda question: f"{second.label}: {question}".encode())
        assert await first.ask("text/plain; version=0.0.4") == [
            b"1: text/plain; version=0.0.4",
            b"2: text/plain; version=0.0.4",
        ]


async def test_an_answer_may_be_long(tmp_path: Path) -> None:
    first, second = process(tmp_path, 0, 2), process(tmp_path, 1, 2)
    with closing(second):
        await second.start(lambda _: b"x" * 2**20)
        assert await first.ask("") == [b"x" * 2**20]


async def test_a_process_that_never_started_is_left_out(tmp_path: Path) -> None:
    assert await process(tmp_path, 0).ask("") == []


async def test_a_process_that_hangs_is_left_out_after_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(siblings, "ANSWER_LIMIT_S", 0.05)
    with socket.socket(socket.AF_UNIX) as hangs:
        hangs.bind(str(tmp_path / "1.sock"))
        hangs.listen()
        assert await process(tmp_path, 0, 2).ask("") == []


async def test_a_successor_answers_instead_of_its_predecessor(tmp_path: Path) -> None:
    asks, old, new = process(tmp_path, 0, 2), process(tmp_path, 1, 2), process(tmp_path, 1, 2)
    with closing(old), closing(new):
        await old.start(lambda _: b"old")
        await new.start(lambda _: b"new")
        old.close()
        assert await asks.ask("") == [b"new"]


async def test_a_client_that_leaves_early_disturbs_nobody(tmp_path: Path) -> None:
    first, second = process(tmp_path, 0, 2), process(tmp_path, 1, 2)
    with closing(second):
        await second.start(lambda _: b"x" * 2**20)
        _, writer = await asyncio.open_unix_connection(tmp_path / "1.sock")
        writer.write(b"\n")
        writer.transport.abort()
        assert await first.ask("") == [b"x" * 2**20]
