"""Sends the worker's record to Redis, several times per lifetime of the record. No record: the worker is
dead."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import psutil
import redis
import structlog
from redis.exceptions import OutOfMemoryError, RedisError

from shared import keys
from shared.history import add_to_slot
from shared.recovery_times import FORGET_WORKER_MS, HEARTBEATS_PER_TTL
from shared.worker_records import (
    DRAIN_KEPT_S,
    HeldModel,
    ModelsMemory,
    SupervisorFacts,
    WorkerRecord,
    WorkerState,
    to_hash,
)
from worker.execution.scheduler import LaneScheduler
from worker.predictors.library_versions import own_versions
from worker.telemetry.device_use import CpuUse, gpu_watch
from worker.telemetry.worker_counters import WorkerHistory

log = structlog.get_logger(__name__)


MOST_ORDERS = 10
"""Orders taken with a heartbeat."""


class Heartbeat(threading.Thread):
    """Beats until `stop`; then it deletes the record, so that other workers take over at once."""

    def __init__(
        self,
        client: redis.Redis,
        worker_id: str,
        device: str,
        ttl_s: float,
        *,
        models: Callable[[], dict[str, HeldModel]],
        memory: Callable[[], ModelsMemory | None] = lambda: None,
        current: Callable[[], str],
        scheduler: Callable[[], LaneScheduler],
        drained: Callable[[], bool],
        on_drain: Callable[[bool], None],
        on_order: Callable[[str], None],
        on_turn: Callable[[], None],
        metrics_address: Callable[[], str],
        history: WorkerHistory,
        supervisor: Callable[[], SupervisorFacts],
        ended: Sequence[str] = (),
        on_serving: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_drain` is called after each beat with whether this worker is to drain; `on_order` with each
        other order; `on_turn` after each attempt, successful or not; `on_serving` once, after the first
        record that states that it serves.

        The records of `ended` workers are removed with that record, not before: until then a gateway counts
        them as alive, and admits requests.
        """
        super().__init__(name="heartbeat", daemon=True)
        self._client = client
        self._worker_id = worker_id
        self._device = device
        self._ttl_ms = round(ttl_s * 1000)
        self._models = models
        self._memory = memory
        self._gpu = gpu_watch(device)
        self._cpu = CpuUse()
        self._current = current
        self._scheduler = scheduler
        self._drained = drained
        self._on_drain = on_drain
        self._on_order = on_order
        self._on_turn = on_turn
        self._metrics_address = metrics_address
        self._history = history
        self._supervisor = supervisor
        self._ended = tuple(ended)
        self._on_serving = on_serving
        self._is_announced = False
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._process = psutil.Process()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self.state = WorkerState.STARTING
        self.beats = {"sent": 0, "missed": 0}
        """Heartbeats by outcome."""

    def become(self, state: WorkerState) -> None:
        """Set the state and send it at once."""
        self.state = state
        self._wake.set()

    def beat_soon(self) -> None:
        """Send the next heartbeat now, because its content has changed."""
        self._wake.set()

    def stop(self) -> None:
        if self._gpu:
            self._gpu.stop()
        self._stopping.set()
        self._wake.set()
        self.join(timeout=5)

    def run(self) -> None:
        if self._gpu:
            self._gpu.start()
        while not self._stopping.is_set():
            self._wake.clear()
            self._try(self._beat_on)
            self._on_turn()
            self._wake.wait(self._ttl_ms / 1000 / HEARTBEATS_PER_TTL)
        self._try(self._withdraw)

    def record(self, clock_offset_s: float = 0.0) -> WorkerRecord:
        scheduler = self._scheduler()
        return WorkerRecord(
            id=self._worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=self._device,
            state=self.state,
            started_at=self._started_at,
            models=self._models(),
            rss_bytes=self._process.memory_info().rss,
            current=self._current(),
            online_s=round(scheduler.online_s, 3),
            offline_s=round(scheduler.offline_s, 3),
            drained=self._drained(),
            metrics_address=self._metrics_address(),
            supervisor=self._supervisor(),
            clock_offset_s=round(clock_offset_s, 1),
            memory=self._memory(),
            cpu_percent=self._cpu.percent(),
            gpu=self._gpu.latest if self._gpu else None,
            versions=own_versions(),
        )

    def _beat_on(self) -> None:
        try:
            self._beat()
            self.beats["sent"] += 1
        except OutOfMemoryError:  # keep the old record alive: the worker works while Redis is full
            self._client.pexpire(keys.worker(self._worker_id), self._ttl_ms)
            raise

    def _beat(self) -> None:
        seconds, micros = self._client.time()
        order = keys.drain(self._worker_id)
        record = self.record(time.time() - (seconds + micros / 1e6))
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(keys.worker(self._worker_id), mapping=dict[Any, Any](to_hash(record)))
            pipe.pexpire(keys.worker(self._worker_id), self._ttl_ms)
            pipe.zadd(keys.workers(), {self._worker_id: seconds * 1000})
            pipe.zremrangebyscore(keys.workers(), "-inf", seconds * 1000 - FORGET_WORKER_MS)
            if record.state is not WorkerState.STARTING and self._ended:
                pipe.delete(*map(keys.worker, self._ended))
                pipe.zrem(keys.workers(), *self._ended)
            add_to_slot(pipe, seconds, counts := self._history.counts())
            pipe.lpop(keys.worker_orders(self._worker_id), MOST_ORDERS)
            pipe.expire(order, DRAIN_KEPT_S)
            *_, orders, is_ordered = pipe.execute()
        self._history.written(counts)
        if record.state is not WorkerState.STARTING and not self._is_announced:
            self._ended, self._is_announced = (), True
            self._on_serving()
        self._on_drain(bool(is_ordered))
        for each in orders or ():
            self._on_order(each.decode())

    def _withdraw(self) -> None:
        self._client.delete(keys.worker(self._worker_id), keys.drain(self._worker_id))
        self._client.zrem(keys.workers(), self._worker_id)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (RedisError, MemoryError) as error:  # a row that takes all memory must not end this thread
            self.beats["missed"] += 1
            log.warning("heartbeat_missed", reason=str(error))
        except Exception:  # an exception in a beat must not end the heartbeat of a live worker
            self.beats["missed"] += 1
            log.exception("heartbeat_broke")
