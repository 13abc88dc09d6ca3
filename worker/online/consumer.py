"""The engine's view of the online lane: entries in hand, unsent answers, and whether Redis answers. Owned by
the engine's thread.

If Redis does not answer, it is tried again after a growing pause, while the engine continues with chunks.
Nothing is lost: entries that were delivered and not answered stay pending, and `recover` returns them again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import structlog
from redis.exceptions import RedisError

from shared.backoff import Backoff
from shared.keys import ModelKey
from shared.recovery_times import CLAIM_EVERY_S
from worker.online.batching import Delivery, first_batch
from worker.online.stream import Finished, OnlineStream
from worker.predictors import Predictor
from worker.predictors.image_decoder import ImageDecoder

log = structlog.get_logger(__name__)

RESTS_S = 1.0
RETRY = Backoff(first_s=0.1, longest_s=2.0)


class OnlineConsumer:
    """Supplies the engine with online entries and sends its answers, through outages of Redis."""

    def __init__(
        self,
        stream: OnlineStream,
        max_rows: Callable[[ModelKey], int],
        *,
        decoders: Mapping[ModelKey, ImageDecoder] = MappingProxyType({}),
    ) -> None:
        """`decoders`: of the model versions whose entries are read a batch ahead, and decoded at once."""
        self._stream = stream
        self._max_rows = max_rows
        self._decoders = dict(decoders)
        self._hand: list[Delivery] = []
        self._looked = False  # the last read found the streams empty
        self._unsent: Finished | None = None
        self._reachable = False
        self._retry_at_s = 0.0
        self._failures = 0
        self._claim_at_s = 0.0

    @property
    def empty(self) -> bool:
        """Whether no entry is in hand and no answer is unsent."""
        return not self._hand and self._unsent is None

    @property
    def waiting(self) -> bool:
        """Whether a batch can run and be answered now."""
        return self._reachable and bool(self._hand)

    @property
    def reachable(self) -> bool:
        """Whether the last command reached Redis."""
        return self._reachable

    def add(self, predictor: Predictor) -> None:
        """Read the entries of a further model version."""
        self._stream.add(predictor.key, predictor.spec.batching.max_rows, predictor.version.identity)
        if predictor.decoder is not None:
            self._decoders[predictor.key] = predictor.decoder
        self._looked = False
        if self._reachable:  # otherwise `recover` makes the group
            with self._outages():
                self._stream.make_group(predictor.key)

    def look(self, now_s: float) -> None:
        """Read without blocking; reconnect, and claim entries of lost workers, when it is time."""
        self.reconnect(now_s)
        if not self._reachable:
            return
        with self._outages():
            if now_s >= self._claim_at_s:
                self._claim_at_s = now_s + CLAIM_EVERY_S
                self._hold(self._stream.claim_stale())
            if not self._hand and not self._looked:
                self._take(self._stream.read())

    def reconnect(self, now_s: float) -> None:
        """If Redis was away and it is time, connect and take back the entries delivered to this worker."""
        if not self._reachable and now_s >= self._retry_at_s:
            self._recover()

    def rest(self, now_s: float) -> None:
        """Sleep until the engine is woken, about a second at most; read nothing."""
        self._stream.sleep(RESTS_S if self._reachable else max(0.0, self._retry_at_s - now_s))

    def look_again(self) -> None:
        """Forget that the streams were empty: time has passed since."""
        self._looked = False

    def wait(self, now_s: float) -> None:
        """Sleep until an entry arrives or the engine is woken, about a second at most."""
        if not self._reachable:
            self._stream.sleep(max(0.0, self._retry_at_s - now_s))
            return
        with self._outages():
            self._hold(self._stream.wait())

    def next_batch(self) -> tuple[list[Delivery], float]:
        """The entries to run next, all of the same model version, and the time of Redis' clock in ms."""
        count = first_batch(self._hand, self._max_rows(self._hand[0].key))
        batch, self._hand = self._hand[:count], self._hand[count:]
        if not self._hand and (decoder := self._decoders.get(batch[0].key)):
            self._read_ahead()
            now_ms = self._stream.now_ms()
            if not self._hand and len(batch) > 1:  # entries arrive while this batch is decoded
                decoder.wait([delivery.entry.columns for delivery in batch])
                self._read_ahead()
            return batch, now_ms
        return batch, self._stream.now_ms()

    def _read_ahead(self) -> None:
        """Read entries whose images are decoded while the batch before them computes."""
        with self._outages():
            self._take(self._stream.read())

    def mark_lone_run(self, delivery: Delivery) -> None:
        """Count a run alone of a suspect entry before it begins: it may end this process."""
        with self._outages():
            self._stream.mark_lone_run(delivery)

    def send(self, finished: Finished, *, read_on: bool) -> None:
        """Answer a batch. With `read_on`, fetch the next batch in the same round trip if no entry is in
        hand."""
        self._unsent = finished
        with self._outages():
            if self._hand or not read_on:
                self._stream.answer(finished)
            else:
                self._take(self._stream.answer_and_read(finished))
            self._unsent = None

    def _take(self, deliveries: list[Delivery]) -> None:
        self._hold(deliveries)
        self._looked = not deliveries

    def _hold(self, deliveries: list[Delivery]) -> None:
        self._hand += deliveries
        for key in {delivery.key for delivery in deliveries} if self._decoders else ():
            if decoder := self._decoders.get(key):
                decoder.begin_entries([one.entry.columns for one in deliveries if one.key == key])

    def _recover(self) -> None:
        with self._outages():
            recovered = self._stream.recover()
            answered = set(self._unsent.entry_ids) if self._unsent else set()
            # entries in hand keep their own counts: Redis' counts do not include their claim
            known = {delivery.entry_id: delivery for delivery in self._hand}
            self._hand = [
                known.get(delivery.entry_id, delivery)
                for delivery in recovered
                if delivery.entry_id not in answered
            ]
            self._reachable, self._failures, self._looked = True, 0, False
            log.info("queue_reached", streams=len(self._stream.streams))
        if self._unsent and self._reachable:
            self.send(self._unsent, read_on=False)

    @contextmanager
    def _outages(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            self._failures += 1
            retry_s = RETRY.pause_s(self._failures)
            log.warning("queue_unreachable", reason=str(error), retry_s=retry_s)
            self._reachable = False
            self._retry_at_s = time.monotonic() + retry_s
