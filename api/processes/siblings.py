"""The processes of one port answer each other: a scrape that reaches any of them has the metrics of all.

Each process listens on a Unix socket of its slot, in a folder that only this user may enter. A question is a
line; the answer is everything until the end of the connection.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from api.processes.process_arguments import ProcessArguments

ANSWER_LIMIT_S = 1.0
"""A process that hangs, or has just ended, is left out after this time."""


class Siblings:
    """The other processes of the port, as one of them sees them."""

    def __init__(self, arguments: ProcessArguments) -> None:
        self._folder = Path(arguments.folder)
        self._slot = arguments.slot
        self._others = [slot for slot in range(len(arguments.listeners)) if slot != arguments.slot]
        self._server: asyncio.Server | None = None

    @property
    def label(self) -> str:
        """This process's value of the label `process`. A restarted process has the same."""
        return str(self._slot)

    @property
    def count(self) -> int:
        """Processes of the port, this one included."""
        return len(self._others) + 1

    async def start(self, answer: Callable[[str], bytes]) -> None:
        """Answer the others' questions, instead of the predecessor in this slot."""

        async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                question = (await reader.readline()).decode().rstrip("\n")
                writer.write(answer(question))
                await writer.drain()
            writer.close()

        new = self._folder / f"{self._slot}.{os.getpid()}"
        self._server = await asyncio.start_unix_server(reply, new)
        new.rename(self._path(self._slot))

    async def ask(self, question: str) -> list[bytes]:
        """The answers of those that answer within a second, in the order of their slots."""
        answers = await asyncio.gather(*(self._ask(slot, question) for slot in self._others))
        return [answer for answer in answers if answer is not None]

    async def _ask(self, slot: int, question: str) -> bytes | None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_LIMIT_S):
                reader, writer = await asyncio.open_unix_connection(self._path(slot))
                try:
                    writer.write(question.encode() + b"\n")
                    return await reader.read()
                finally:
                    writer.close()
        return None

    def _path(self, slot: int) -> Path:
        return self._folder / f"{slot}.sock"

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
