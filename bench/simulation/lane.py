"""The online lane's stream, and a worker's end of it as `worker.online.consumer` expects it."""

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
    """A worker that waits for an entry."""

    def woken(self) -> None: ...


class Stream:
    """Entries in their order. Who has waited longest is woken by the next, as Redis does it."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._added = 0
        self._waiting: deque[Delivery] = deque()
        self._asleep: deque[Sleeper] = deque()

    def add(self, gateway: str, request: int, budget_s: float) -> None:
        """One entry of one row."""
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
        """The next batch, as `turn.lua` cuts it."""
        heads = list(islice(self._waiting, most_rows))
        return [self._waiting.popleft() for _ in range(first_batch(heads, most_rows) if heads else 0)]

    def sleep(self, sleeper: Sleeper) -> None:
        self._asleep.append(sleeper)

    def rouse(self, sleeper: Sleeper) -> bool:
        """Something else wakes it. → whether it slept"""
        if sleeper not in self._asleep:
            return False
        self._asleep.remove(sleeper)
        return True


class SimulatedLane:
    """What `worker.online.consumer.Intake` asks of `worker.online.stream.OnlineLane`, of a queue that always
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
        """A worker that sleeps is handed one entry, as by XREADGROUP COUNT 1."""
        return self._stream.take(1)

    def answer(self, finished: Finished) -> None:
        """The answers themselves take their own way: see `bench.simulation.worker`."""

    def answer_and_read(self, finished: Finished) -> list[Delivery]:
        self.answer(finished)
        return self.read()
