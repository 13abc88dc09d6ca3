"""Sampling of a server's memory during other work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.servers import Server

EVERY_S = 0.5


@dataclass(frozen=True)
class Look:
    """Resident memory at a moment, by part."""

    at_s: float
    memory_bytes: Mapping[str, int]


@contextmanager
def watched(server: Server) -> Iterator[list[Look]]:
    """Samples memory twice a second while the block runs."""
    looks: list[Look] = []
    ended = threading.Event()
    began_s = time.monotonic()

    def look() -> None:
        while not ended.wait(EVERY_S):
            looks.append(Look(time.monotonic() - began_s, server.usage().memory_bytes))

    thread = threading.Thread(target=look, name="looks")
    thread.start()
    try:
        yield looks
    finally:
        ended.set()
        thread.join()


def peaks(looks: Sequence[Look]) -> dict[str, int]:
    """The maximum of each part in bytes."""
    parts = dict.fromkeys(part for look in looks for part in look.memory_bytes)
    return {part: max(look.memory_bytes.get(part, 0) for look in looks) for part in parts}
