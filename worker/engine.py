"""The engine: the one thread that owns the predictors and calls them, for both lanes.

    OnlineLane ── entries ─▶ ┐                    ┌ ─▶ answers ── OnlineLane
                             ├─ turn by turn: ─▶ predict
    ChunkWork ─── slices ──▶ ┘                    └ ─▶ results ── ChunkWork

While one batch runs, the next gathers in Redis: batches grow with load, and a lone request never waits. When
nothing waits on either lane the engine sleeps on the Redis socket and on a descriptor that other threads
write.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from shared.errors import PredictionFailed
from shared.keys import ModelKey
from shared.messages import Answer, Failure, Reply
from worker.batches import Delivery, first_batch
from worker.chunks import ChunkWork
from worker.entries import EntryBatch
from worker.online import BatchFacts, Finished, OnlineLane, answers_to
from worker.predictors import Predictor
from worker.rates import Rate
from worker.turns import Share, Turn, slice_rows
from worker.watchdog import Watchdog

log = structlog.get_logger(__name__)

CLAIM_EVERY_S = 1.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 2.0


class SickPredictorError(Exception):
    """A predictor fails on rows whose answer is known: no row is to blame, and this process must end."""


@dataclass
class Served:
    """What the engine did with one model version since it started."""

    online: Rate
    offline: Rate
    batches: int = 0
    batch_rows: int = 0


def _served(predictor: Predictor) -> Served:
    full_rows = predictor.spec.batching.max_rows
    at_warm_up = predictor.rows_per_s
    return Served(online=Rate(full_rows, at_warm_up), offline=Rate(full_rows, at_warm_up))


class Engine(threading.Thread):
    """Serves both lanes until `stop`. Other threads only call `submit`, `stop`, `served` and `current`."""

    def __init__(
        self,
        worker_id: str,
        predictors: Mapping[ModelKey, Predictor],
        lane: OnlineLane,
        watchdog: Watchdog,
        *,
        max_attempts: int,
        on_crash: Callable[[BaseException], None],
    ) -> None:
        super().__init__(name="engine", daemon=True)
        self._worker_id = worker_id
        self._predictors = predictors
        self._lane = lane
        self._watchdog = watchdog
        self._max_attempts = max_attempts
        self._on_crash = on_crash
        self._stopping = threading.Event()
        self._share = Share()
        self._hand: list[Delivery] = []  # entries that were delivered and wait for their batch
        self._looked = False  # whether the streams were empty when last looked at, just now
        self._unsent: Finished | None = None  # answers that Redis has not taken yet
        self._reachable = False
        self._retry_at_s = 0.0
        self._retry_s = FIRST_RETRY_S
        self._claim_at_s = 0.0
        self._work: deque[ChunkWork] = deque()
        self.current = ""
        self.served = {key: _served(predictor) for key, predictor in predictors.items()}

    def submit(self, work: ChunkWork) -> None:
        """Have a chunk run, slice by slice; `work.ended` is set when it is over."""
        if self._stopping.is_set():
            work.stop()
            work.ended.set()
            return
        self._work.append(work)
        self._lane.wake()

    def stop(self) -> None:
        """Read no more entries, answer those in hand, and hand chunks back at their next slice."""
        self._stopping.set()
        self._lane.wake()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
            self._answer_hand()
        except BaseException as error:
            self._stopping.set()
            self._abandon_chunks()
            self._on_crash(error)
        finally:
            self._abandon_chunks()
            self._watchdog.disarm()
            self._lane.close()

    def _turn(self) -> None:
        now_s = time.monotonic()
        self._watchdog.progress(now_s)
        self._look_after_lane(now_s)
        online = self._reachable and bool(self._hand)
        match self._share.next_turn(now_s, online=online, offline=bool(self._work)):
            case Turn.ONLINE:
                self._run_online()
            case Turn.OFFLINE:
                self._run_slice(now_s)
            case Turn.WAIT:
                self._wait(now_s)

    def _answer_hand(self) -> None:
        while self._hand and self._reachable:
            self._run_online(read_on=False)

    def _abandon_chunks(self) -> None:
        """Their threads hand them back."""
        while self._work:
            work = self._work.popleft()
            work.stop()
            work.ended.set()

    # The lane, whose server may be away

    def _look_after_lane(self, now_s: float) -> None:
        if not self._reachable:
            if now_s >= self._retry_at_s:
                self._recover()
            return
        if now_s >= self._claim_at_s:
            self._claim_at_s = now_s + CLAIM_EVERY_S
            with self._outages():
                self._hand += self._lane.claim_stale()
        if not self._hand and not self._looked and self._reachable:
            with self._outages():
                self._take(self._lane.read())

    def _recover(self) -> None:
        with self._outages():
            recovered = self._lane.recover()
            unsent = set(self._unsent.entry_ids) if self._unsent else set()
            self._hand = [delivery for delivery in recovered if delivery.entry_id not in unsent]
            self._reachable, self._retry_s, self._looked = True, FIRST_RETRY_S, False
            log.info("queue_reached", streams=len(self._lane.streams))
        if self._unsent and self._reachable:
            self._send()

    @contextmanager
    def _outages(self) -> Iterator[None]:
        """What failed in Redis is asked again after a pause; the offline lane goes on meanwhile."""
        try:
            yield
        except RedisError as error:
            log.warning("queue_unreachable", reason=str(error), retry_s=self._retry_s)
            self._reachable = False
            self._retry_at_s = time.monotonic() + self._retry_s
            self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)

    def _take(self, deliveries: list[Delivery]) -> None:
        self._hand += deliveries
        self._looked = not deliveries

    def _wait(self, now_s: float) -> None:
        self.current = ""
        if not self._reachable:
            self._lane.sleep(max(0.0, self._retry_at_s - now_s))
            return
        with self._outages():
            self._hand += self._lane.wait()

    # Online

    def _run_online(self, *, read_on: bool = True) -> None:
        key = self._hand[0].key
        predictor = self._predictors[key]
        count = first_batch(self._hand, predictor.spec.batching.max_rows)
        batch, self._hand = self._hand[:count], self._hand[count:]
        now_ms = self._lane.now_ms()
        alive = [delivery for delivery in batch if not delivery.late(now_ms)]
        replies: dict[str, Reply] = {}
        if alive and self._worth_a_run(alive[0]):
            replies = self._predict(predictor, alive, now_ms)
        elif alive:
            replies = answers_to(
                _given_up(alive[0]), self._worker_id, BatchFacts(alive[0].entry.rows, 0.0, 0.0)
            )
        self._unsent = Finished(key, replies, [delivery.entry_id for delivery in batch])
        self._send(read_on=read_on)

    def _worth_a_run(self, delivery: Delivery) -> bool:
        """Whether a suspect entry may try once more; its run is counted before it begins."""
        if not delivery.suspect:
            return True
        if delivery.deliveries - 1 > self._max_attempts:
            return False
        with self._outages():
            self._lane.mark_lone_run(delivery)
        return True

    def _predict(self, predictor: Predictor, entries: list[Delivery], now_ms: float) -> dict[str, Reply]:
        begun_s = time.monotonic()
        self.current = f"online {predictor.key}"
        batch = EntryBatch(predictor, entries, now_ms)
        batch.run(on_failure=lambda: _blame_the_sick(predictor))
        now_s = time.monotonic()
        self._share.online_ran(now_s, now_s - begun_s)
        served = self.served[predictor.key]
        served.online.measured(batch.rows, batch.predict_ms / 1000)
        served.batches += 1
        served.batch_rows += batch.rows
        return answers_to(
            batch.answers(), self._worker_id, BatchFacts(batch.rows, batch.batch_ms, batch.predict_ms)
        )

    def _send(self, *, read_on: bool = True) -> None:
        assert self._unsent is not None
        with self._outages():
            if self._hand or not read_on:
                self._lane.answer(self._unsent)
            else:
                self._take(self._lane.answer_and_read(self._unsent))
            self._unsent = None

    # Offline

    def _run_slice(self, now_s: float) -> None:
        work = self._work[0]
        self._work.rotate(-1)  # chunks take turns
        predictor = work.predictor
        rate = self.served[predictor.key].offline
        if not work.over:
            self.current = f"chunk {work.name}"
            batching = predictor.spec.batching
            seconds = self._share.slice_s(now_s)
            rows = slice_rows(seconds, rate.rows_per_s, least=batching.max_rows, most=batching.max_slice_rows)
            ran = work.run_slice(rows, on_failure=lambda: _blame_the_sick(predictor))
            rate.measured(ran, time.monotonic() - now_s)
        if work.over:
            self._work.remove(work)
            work.ended.set()
        self._looked = False


def _blame_the_sick(predictor: Predictor) -> None:
    problem = predictor.golden_problem()
    if problem:
        raise SickPredictorError(f"{predictor.key} fails its golden rows: {problem}")


def _given_up(delivery: Delivery) -> dict[str, list[Answer]]:
    entry = delivery.entry
    tried = delivery.deliveries - 2
    detail = f"{tried} workers ended while they ran this request on its own; it is not tried again."
    failure = Failure(PredictionFailed.code, detail)
    return {entry.gateway: [Answer(entry.id, entry.part, 0.0, None, failure)]}
