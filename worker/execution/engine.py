"""The engine: the single thread that calls the predictors, for both lanes.

    OnlineConsumer ── entries ─▶ ┐                              ┌ ─▶ answers ── OnlineConsumer
                                 ├─ LaneScheduler ─▶ predict ─▶ ┤
    ChunkWork ─────── slices ──▶ ┘                              └ ─▶ results ── ChunkWork

While a batch runs, new requests collect in Redis and form the next batch: batch size follows load, and a
single request is never delayed to fill a batch. If neither lane has work, the engine sleeps on the Redis
socket and on a descriptor that other threads write to.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from shared.errors import PredictionFailedError
from shared.keys import ModelKey
from shared.messages import EntryAnswer, EntryFailure, Reply
from worker.execution.scheduler import LaneScheduler, NextLane, least_slice_rows, slice_rows
from worker.execution.slices import ChunkWork
from worker.execution.throughput import BatchTimer, Fastest, ThroughputEstimate
from worker.execution.watchdog import Watchdog, limit_in_words
from worker.online.batch import EntryBatch
from worker.online.batching import MOST_LONE_RUNS, Delivery
from worker.online.consumer import OnlineConsumer
from worker.online.stream import BatchFacts, Finished, OnlineStream, answers_to
from worker.predictors import Predictor
from worker.predictors.call_limit import CallLimit
from worker.predictors.golden_check import check_golden_rows
from worker.telemetry.worker_counters import EngineCounters
from worker.telemetry.worker_tracing import NO_TRACES, Traces

_NEWEST = 0.1
"""Weight of the newest batch in the mean size of an entry."""


@dataclass
class Served:
    """Statistics of a model version in the engine since it started."""

    online: ThroughputEstimate
    offline: ThroughputEstimate
    least_slice_rows: int
    batches: int = 0
    batch_rows: int = 0
    call_limit: CallLimit = field(default_factory=CallLimit)
    entry_rows: float = 0.0  # mean rows of recent online entries
    counters: EngineCounters = field(default_factory=EngineCounters)
    fastest: Fastest = field(default_factory=Fastest)
    used_at_s: float = float("-inf")
    """When it last ran, by a monotonic clock."""

    def online_ran(self, batch: EntryBatch, now_s: float) -> None:
        self.used_at_s = now_s
        failed = batch.failed
        if not failed:
            self.fastest.ran(batch.rows, batch.predict_ms / 1000)
        self.batches += 1
        self.batch_rows += batch.rows
        newest = batch.rows / len(batch.entries)
        self.entry_rows += (newest - self.entry_rows) * (_NEWEST if self.entry_rows else 1.0)
        self.counters.online.ran(batch.rows, batch.predict_ms / 1000)
        self.counters.answered(
            parts=len(batch.entries),
            rows=batch.rows,
            failed_parts=len(failed),
            failed_rows=sum(delivery.entry.rows for delivery in failed),
        )


class Engine(threading.Thread):
    """Serves both lanes until `stop`. Other threads may call `add`, `submit`, `drain`, `resume` and `stop`,
    and read `served`, `scheduler`, `current` and `drained`. If the engine fails, it calls `on_crash` in its
    own thread."""

    def __init__(
        self,
        worker_id: str,
        predictors: Mapping[ModelKey, Predictor],
        stream: OnlineStream,
        watchdog: Watchdog,
        *,
        on_crash: Callable[[BaseException], None],
        traces: Traces = NO_TRACES,
    ) -> None:
        super().__init__(name="engine", daemon=True)
        self._worker_id = worker_id
        self._predictors = dict(predictors)
        self._added: deque[Predictor] = deque()
        self._stream = stream
        self._consumer = OnlineConsumer(
            stream,
            lambda key: self._predictors[key].spec.batching.max_rows,
            decoders={key: one.decoder for key, one in predictors.items() if one.decoder},
        )
        self._watchdog = watchdog
        watchdog.running = lambda: self.current
        self._traces = traces
        self._on_crash = on_crash
        self._stopping = threading.Event()
        self._draining = threading.Event()
        self._over = threading.Event()
        self._work: deque[ChunkWork] = deque()
        self._batch_timer = BatchTimer()
        self.drained = False
        """It is draining, and nothing is in hand."""
        self.current = ""
        self.scheduler = LaneScheduler()
        self.served = {key: _served(predictor) for key, predictor in predictors.items()}

    @property
    def idle(self) -> bool:
        """Whether neither lane has work now."""
        return not self.current and not self._work

    def add(self, predictor: Predictor) -> None:
        """Serve a further model version from now on. Its chunks may be submitted once this has returned."""
        self._added.append(predictor)
        self._stream.wake()

    def submit(self, work: ChunkWork) -> None:
        """Run a chunk slice by slice; `work.ended` is set when it has ended."""
        work.begin()
        self._work.append(work)
        if self._over.is_set():  # until then only the engine's thread does: a slice may be running
            self._release_chunks()
        self._stream.wake()

    def drain(self) -> None:
        """Take nothing more until `resume`: answer the entries in hand, release chunks at their next
        slice."""
        self._draining.set()
        self._stream.wake()

    def resume(self) -> None:
        """Serve again."""
        self._draining.clear()
        self._stream.wake()

    def stop(self) -> None:
        """Read no more entries, answer those in hand, and release chunks at their next slice."""
        self._stopping.set()
        self._stream.wake()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
            self._end_chunks()
            while self._consumer.waiting:
                self._run_online(read_on=False)
        except BaseException as error:
            self._end_chunks()
            self._on_crash(error)
        finally:
            self._watchdog.disarm()
            self._stream.close()

    def _turn(self) -> None:
        if self._draining.is_set():
            self._stay_drained()
        now_s = time.monotonic()
        self._watchdog.progress(now_s)
        self._consumer.look(now_s)
        self._batch_timer.looked(now_s, waiting=self._consumer.waiting)
        has_work = bool(self._work)
        self._take_over_added()  # after that look: a model version is added before its first chunk
        match self.scheduler.next_turn(online=self._consumer.waiting, offline=has_work):
            case NextLane.ONLINE:
                self._run_online(read_on=True)
            case NextLane.OFFLINE:
                self._run_slice(now_s)
                self._consumer.look_again()
            case NextLane.WAIT:
                self.current = ""
                self._watchdog.progress(time.monotonic())  # `look` may have waited for an unresponsive server
                self._consumer.wait(now_s)

    def _take_over_added(self) -> None:
        while self._added:
            predictor = self._added.popleft()
            if predictor.key in self._predictors:
                continue
            self._predictors[predictor.key] = predictor
            self.served = self.served | {predictor.key: _served(predictor)}  # other threads iterate over it
            self._consumer.add(predictor)

    def _stay_drained(self) -> None:
        """Until `resume` or `stop`: answer the entries in hand, and take nothing."""
        while self._draining.is_set() and not self._stopping.is_set():
            self._release_chunks()
            now_s = time.monotonic()
            self._watchdog.progress(now_s)
            self._consumer.reconnect(now_s)
            if self._consumer.waiting:
                self._run_online(read_on=False)
            else:
                self.current, self.drained = "", self._consumer.empty
                self._consumer.rest(now_s)
        self.drained = False

    def _run_online(self, *, read_on: bool) -> None:
        batch, now_ms = self._consumer.next_batch()
        key = batch[0].key
        counters = self.served[key].counters
        alive = [delivery for delivery in batch if not delivery.late(now_ms)]
        counters.parts["late"] += len(batch) - len(alive)
        counters.redeliveries += sum(delivery.suspect for delivery in batch)
        if not alive:
            replies: dict[str, Reply] = {}
        elif alive[0].lone_runs >= MOST_LONE_RUNS:
            counters.parts["given_up"] += 1
            given_up = _given_up(alive[0], self._watchdog.limit_s)
            replies = answers_to(given_up, self._worker_id, BatchFacts(alive[0].entry.rows))
        else:
            replies = self._predict(self._predictors[key], alive, now_ms)
        entry_ids = [delivery.entry_id for delivery in batch]
        self._consumer.send(Finished(key, replies, entry_ids), read_on=read_on)
        took_s = self._batch_timer.ended(time.monotonic())
        if replies:
            self.served[key].online.measured(sum(delivery.entry.rows for delivery in alive), took_s)

    def _predict(self, predictor: Predictor, entries: list[Delivery], now_ms: float) -> dict[str, Reply]:
        begun_s = time.monotonic()
        self.current = f"online {predictor.key}"
        if entries[0].suspect:
            self._consumer.mark_lone_run(entries[0])
        batch = EntryBatch(predictor, entries, now_ms, self.served[predictor.key].call_limit)
        batch.run(
            on_failure=lambda: check_golden_rows(predictor),
            after_call=lambda: self._watchdog.progress(time.monotonic()),
        )
        now_s = time.monotonic()
        self.scheduler.online_ran(now_s, now_s - begun_s)
        self.served[predictor.key].online_ran(batch, now_s)
        self._traces.batch_ran(batch, now_s - begun_s)
        facts = BatchFacts(batch.rows, batch.batch_ms, batch.predict_ms)
        return answers_to(batch.answers(), self._worker_id, facts)

    def _run_slice(self, now_s: float) -> None:
        work = self._work[0]
        if not work.over:
            self.current = f"chunk {work.name}"
            predictor = work.predictor
            served, most = self.served[predictor.key], predictor.spec.most_slice_rows
            least, rate = served.least_slice_rows, served.offline
            slice_s = self.scheduler.slice_s(now_s)
            rows = slice_rows(slice_s, rate.rows_per_s, least=least, most=most)
            work.call_limit = served.call_limit
            ran = work.run_slice(rows, on_failure=lambda: check_golden_rows(predictor), limit_s=slice_s)
            took_s = time.monotonic() - now_s
            self.scheduler.offline_ran(took_s)
            served.counters.offline.ran(ran, took_s)
            served.used_at_s = now_s + took_s
            rate.measured(ran, took_s)
        if work.over:
            self._work.remove(work)
            work.ended.set()
        elif any(other.job_id != work.job_id for other in tuple(self._work)):
            self._work.rotate(-1)  # jobs take turns; results of a chunk are stored while the next computes

    def _end_chunks(self) -> None:
        """No slice runs any more; a chunk that is still submitted is released by its own thread."""
        self._over.set()
        self._release_chunks()

    def _release_chunks(self) -> None:
        """Release all chunks in hand; their threads hand them back."""
        while self._work:
            with suppress(IndexError):  # once the engine is over, `submit` may empty it at the same time
                work = self._work.popleft()
                work.stop()
                work.ended.set()


def _served(predictor: Predictor) -> Served:
    full_rows = predictor.spec.batching.max_rows
    fastest = Fastest()
    for rows, rate in predictor.rates.items():
        if rate > 0:
            fastest.ran(rows, rows / rate)
    return Served(
        online=ThroughputEstimate(full_rows, predictor.rows_per_s),
        offline=ThroughputEstimate(full_rows, predictor.slice_rows_per_s),
        least_slice_rows=least_slice_rows(predictor.rates, full_rows),
        fastest=fastest,
    )


def _given_up(delivery: Delivery, limit_s: float) -> dict[str, list[EntryAnswer]]:
    entry = delivery.entry
    detail = (
        "Two workers that ran this request ended: the first ran it in a batch, the second alone. Either the "
        f"model ended its process, or a call took longer than {limit_in_words(limit_s)}."
    )
    failure = EntryFailure(PredictionFailedError.code, detail)
    return {entry.gateway: [EntryAnswer(entry.id, entry.part, 0.0, None, failure)]}
