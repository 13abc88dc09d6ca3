"""The shadow thread of a worker: takes sampled requests while both lanes are idle, and counts how the answers
of this version differ from those that clients got.

    takt:shadow:{model}@{version} ─▶ sandbox process, idle priority ─▶ compare ─▶ counts, differing rows

The model is called in a sandbox, never in the engine: a version that is slow, raises, or ends its process
costs nothing but shadowed rows. Rows that cannot be run are counted as dropped; a worker that stops puts them
back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
import structlog
from redis.exceptions import RedisError

from shared import keys
from shared.history import latency_bucket
from shared.keys import ModelKey, split_model_key
from shared.shadowing import (
    COUNTS_KEPT_S,
    ENTRIES_KEPT_S,
    MOST_ROWS_KEPT,
    ROWS_KEPT_S,
    ShadowCount,
    ShadowEntry,
    decode_shadow,
    encode_shadow,
    latency_name,
)
from worker.predictors import Predictor
from worker.sandbox.sandbox_runner import SandboxError, SandboxProcess, StartSandbox
from worker.shadow.shadow_batch import ShadowBatch, batches_of, kept_rows, run_batch
from worker.telemetry.worker_counters import ShadowCounters

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.5
MOST_TOGETHER = 32
"""Entries of a look at a version: other work may have come in the meantime."""


class ShadowRunner(threading.Thread):
    """Runs the shadow entries of the versions that this worker holds."""

    def __init__(
        self,
        client: redis.Redis,
        predictors: Mapping[ModelKey, Predictor],
        start: StartSandbox,
        *,
        limit_s: float,
        is_idle: Callable[[], bool],
    ) -> None:
        """`limit_s`: of a model call. `is_idle`: whether neither lane has work."""
        super().__init__(name="shadow", daemon=True)
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._predictors = predictors
        self._start_sandbox = start
        self._limit_s = limit_s
        self._is_idle = is_idle
        self._stopping = threading.Event()
        self._processes: dict[ModelKey, SandboxProcess] = {}
        self.counters: dict[ModelKey, ShadowCounters] = {}

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=5)

    def run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                while self._look() and not self._stopping.is_set():
                    pass
            except RedisError as error:
                log.debug("shadow_delayed", reason=str(error))
            except Exception:  # a bug here must not end the worker
                log.exception("shadow_broke")
        for key in list(self._processes):
            self._close(key)

    def _look(self) -> bool:
        """Run some entries of each version. → whether there were any"""
        found = False
        for key, predictor in list(self._predictors.items()):
            entries = self._client.lpop(keys.shadow(key), MOST_TOGETHER) if self._is_idle() else None
            if entries:
                found = True
                self._run_entries(predictor, [entry for entry in map(decode_shadow, entries) if entry])
            elif key in self._processes and not self._client.exists(keys.shadow(key)):
                self._close(key)
        return found

    def _run_entries(self, predictor: Predictor, entries: Sequence[ShadowEntry]) -> None:
        model, _ = split_model_key(predictor.key)
        for batch in batches_of(entries, predictor.spec.batching.max_rows):
            if self._stopping.is_set():
                self._put_back(predictor.key, batch)
                continue
            counts = self._run_batch(predictor, batch)
            name = keys.shadow_counts(model, batch.generation)
            pipeline = self._client.pipeline(transaction=True)
            for field, number in counts.items():
                pipeline.hincrby(name, field, number)
            pipeline.expire(name, COUNTS_KEPT_S)
            pipeline.execute()

    def _run_batch(self, predictor: Predictor, batch: ShadowBatch) -> dict[str, int]:
        """→ the counts to add"""
        try:
            ran = run_batch(predictor, batch, self._process(predictor.key), self._limit_s, self._may_go_on)
        except (SandboxError, OSError) as error:
            log.warning("shadow_not_run", model=predictor.key, reason=str(error))
            ran = None
        if ran is None:
            self._close(predictor.key)
            if self._stopping.is_set():
                self._put_back(predictor.key, batch)
                return {}
            return {ShadowCount.DROPPED: batch.rows}
        counters = self.counters.setdefault(predictor.key, ShadowCounters())
        counters.took_s.add(ran.took_s)
        for outcome, rows in ran.counts.items():
            counters.rows[outcome] += rows
        if predictor.spec.keep_differing_rows:
            self._keep(predictor, kept_rows(predictor, batch, ran))
        counts: dict[str, int] = {str(outcome): rows for outcome, rows in ran.counts.items()}
        return counts | {latency_name(latency_bucket(ran.took_s * 1000)): 1}

    def _put_back(self, key: ModelKey, batch: ShadowBatch) -> None:
        """Leave a batch to another worker, or to this worker's successor."""
        self._client.rpush(keys.shadow(key), *map(encode_shadow, batch.entries))
        self._client.expire(keys.shadow(key), ENTRIES_KEPT_S)

    def _keep(self, predictor: Predictor, rows: Sequence[bytes]) -> None:
        if not rows:
            return
        name = keys.shadow_rows(split_model_key(predictor.key)[0])
        pipeline = self._client.pipeline(transaction=True)
        pipeline.lpush(name, *rows)
        pipeline.ltrim(name, 0, MOST_ROWS_KEPT - 1)
        pipeline.expire(name, ROWS_KEPT_S)
        pipeline.execute()

    def _process(self, key: ModelKey) -> SandboxProcess:
        """Raises SandboxError."""
        if key not in self._processes:
            self._processes[key] = SandboxProcess(key, self._start_sandbox)
        return self._processes[key]

    def _close(self, key: ModelKey) -> None:
        if key in self._processes:
            self._processes.pop(key).close()

    def _may_go_on(self) -> bool:
        return not self._stopping.is_set()
