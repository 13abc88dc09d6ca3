"""The online lane's stream, and a worker's side of it with the interface for `worker.online.consumer`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from bench.simulation.clock import VirtualClock
from shared.keys import model_key
from shared.messages import SCHEMA, Entry
from worker.online.batching import Delivery, first_batch
from worker.online.stream import Finished

KEY = model_key("simulated", "1.0.0")


class Sleeper(Protocol):
    """A worker waiting for an entry."""

    def woken(self) -> None: ...


class Stream:
    """Entries in order. The next entry wakes the reader with the longest wait, as in Redis."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._added = 0
        self._waiting: deque[Delivery] = deque()
        self._asleep: deque[Sleeper] = deque()

    def add(self, gateway: str, request: int, budget_s: float) -> None:
        """A single-row entry."""
        entry = Entry(SCHEMA, gateway, request, 0, round(budget_s * 1000), 1, [])
        self._added += 1
        entry_id = f"{int(self._clock.now_s * 1000)}-{self._added}".encode()
        self._waiting.append(Delivery(KEY, entry_id, entry))
        if self._asleep:
            self._asleep.popleft().woken()

    def withdraw(self, gateway: str, request: int) -> None:
        for delivery in self._waiting:
            if (delivery.entry.gateway, delivery.entry.id) == (gateway, request):
                self._waiting.remove(delivery)
                return

    def take(self, most_rows: int) -> list[Delivery]:
        """Take the next batch by the rule of `turn.lua`."""
        heads = list(islice(self._waiting, most_rows))
        return [self._waiting.popleft() for _ in range(first_batch(heads, most_rows) if heads else 0)]

    def sleep(self, sleeper: Sleeper) -> None:
        self._asleep.append(sleeper)

    def rouse(self, sleeper: Sleeper) -> bool:
        """Remove a reader that is woken otherwise. Returns whether it was waiting."""
        if sleeper not in self._asleep:
            return False
        self._asleep.remove(sleeper)
        return True


class SimulatedLane:
    """The part of `worker.online.stream.OnlineStream` that `OnlineConsumer` uses, for a queue that always
    answers."""

    streams: Sequence[str] = ("simulated",)

    def __init__(self, clock: VirtualClock, stream: Stream, max_rows: int) -> None:
        self._clock = clock
        self._stream = stream
        self._max_rows = max_rows

    def now_ms(self) -> float:
        return self._clock.now_s * 1000

    def recover(self) -> list[Delivery]:
        return []

    def claim_stale(self) -> list[Delivery]:
        return []

    def read(self) -> list[Delivery]:
        return self._stream.take(self._max_rows)

    def wait(self) -> list[Delivery]:
        """A blocking read returns a single entry, like XREADGROUP COUNT 1."""
        return self._stream.take(1)

    def answer(self, finished: Finished) -> None:
        """Does nothing; `bench.simulation.worker` delivers the answers."""

    def answer_and_read(self, finished: Finished) -> list[Delivery]:
        self.answer(finished)
        return self.read()
