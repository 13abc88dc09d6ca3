"""What the engine holds of the online lane: entries in hand, answers that Redis has not taken, and whether
Redis answers at all. Owned by the engine's thread.

A server that is away is asked again after a growing pause; the engine goes on with chunks meanwhile. Nothing
is lost by it: what was delivered and not answered stays pending, and `recover` hands it out again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import RedisError

from shared.keys import ModelKey
from worker.online.batching import Delivery, first_batch
from worker.online.stream import Finished, OnlineStream

log = structlog.get_logger(__name__)

CLAIM_EVERY_S = 1.0
RESTS_S = 1.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 2.0


class OnlineConsumer:
    """The online lane as a pile of entries, whatever the server does."""

    def __init__(self, lane: OnlineStream, max_rows: Callable[[ModelKey], int]) -> None:
        self._lane = lane
        self._max_rows = max_rows
        self._hand: list[Delivery] = []
        self._looked = False  # the streams were empty just now
        self._unsent: Finished | None = None
        self._reachable = False
        self._retry_at_s = 0.0
        self._retry_s = FIRST_RETRY_S
        self._claim_at_s = 0.0

    @property
    def empty(self) -> bool:
        """Whether nothing is in hand, and no answer is held back."""
        return not self._hand and self._unsent is None

    @property
    def waiting(self) -> bool:
        """Whether a batch can be run and answered now."""
        return self._reachable and bool(self._hand)

    @property
    def reachable(self) -> bool:
        """Whether the server answered last."""
        return self._reachable

    def look(self, now_s: float) -> None:
        """Find out what waits, without blocking; reconnect and claim what others left when it is time."""
        self.reconnect(now_s)
        if not self._reachable:
            return
        with self._outages():
            if now_s >= self._claim_at_s:
                self._claim_at_s = now_s + CLAIM_EVERY_S
                self._hand += self._lane.claim_stale()
            if not self._hand and not self._looked:
                self._take(self._lane.read())

    def reconnect(self, now_s: float) -> None:
        """Where the server was away and it is time: what this worker was handed is in hand again."""
        if not self._reachable and now_s >= self._retry_at_s:
            self._recover()

    def rest(self, now_s: float) -> None:
        """Sleep until the engine is woken, about a second at most, and take nothing."""
        self._lane.sleep(RESTS_S if self._reachable else max(0.0, self._retry_at_s - now_s))

    def look_again(self) -> None:
        """Time has passed since the streams were seen to be empty."""
        self._looked = False

    def wait(self, now_s: float) -> None:
        """Sleep until an entry comes or the engine is woken, about a second at most."""
        if not self._reachable:
            self._lane.sleep(max(0.0, self._retry_at_s - now_s))
            return
        with self._outages():
            self._hand += self._lane.wait()

    def next_batch(self) -> tuple[list[Delivery], float]:
        """The entries that run next, all of one model version, and Redis' time now in ms."""
        count = first_batch(self._hand, self._max_rows(self._hand[0].key))
        batch, self._hand = self._hand[:count], self._hand[count:]
        return batch, self._lane.now_ms()

    def mark_lone_run(self, delivery: Delivery) -> None:
        """Count a run against a suspect entry before it begins: it may end this process."""
        with self._outages():
            self._lane.mark_lone_run(delivery)

    def send(self, finished: Finished, *, read_on: bool) -> None:
        """Answer a batch; `read_on` fetches the next in the same round trip where none is in hand."""
        self._unsent = finished
        with self._outages():
            if self._hand or not read_on:
                self._lane.answer(finished)
            else:
                self._take(self._lane.answer_and_read(finished))
            self._unsent = None

    def _take(self, deliveries: list[Delivery]) -> None:
        self._hand += deliveries
        self._looked = not deliveries

    def _recover(self) -> None:
        with self._outages():
            recovered = self._lane.recover()
            answered = set(self._unsent.entry_ids) if self._unsent else set()
            known = {delivery.entry_id: delivery for delivery in self._hand}  # and whether it is suspect
            self._hand = [
                known.get(delivery.entry_id, delivery)
                for delivery in recovered
                if delivery.entry_id not in answered
            ]
            self._reachable, self._retry_s, self._looked = True, FIRST_RETRY_S, False
            log.info("queue_reached", streams=len(self._lane.streams))
        if self._unsent and self._reachable:
            self.send(self._unsent, read_on=False)

    @contextmanager
    def _outages(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            log.warning("queue_unreachable", reason=str(error), retry_s=self._retry_s)
            self._reachable = False
            self._retry_at_s = time.monotonic() + self._retry_s
            self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)
