"""Removes folders of jobs that the ledger does not know: lost in a power cut, or only partly removed.

Nothing is removed by mistake: both the folder and the ledger must be older than the retention of jobs. A
Redis server that was emptied or replaced knows no job, but its ledger is young.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import structlog

from shared.errors import PayloadError
from shared.ledger import Ledger
from shared.payloads import PayloadStore, StoredJob, is_job_id

log = structlog.get_logger(__name__)

LEAST_AGE_S = 86_400.0
SWEEP_EVERY_S = 3600.0
STEP_JOBS = 200
"""Folders per step; a step runs about every second."""


def removable(found: Sequence[StoredJob], *, now_s: float, age_s: float) -> list[str]:
    """The jobs without an object younger than `age_s`."""
    return [job.id for job in found if is_job_id(job.id) and now_s - job.newest_at_s > age_s]


class Orphans:
    """Sweeps the store, a few folders a step, with an hour between two sweeps."""

    def __init__(
        self,
        ledger: Ledger,
        store: PayloadStore,
        *,
        retention_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._age_s = max(retention_s, LEAST_AGE_S)
        self._clock = clock
        self._next_at_s = 0.0
        self._sweep: Iterator[StoredJob] | None = None

    def step(self) -> list[str]:
        """Check the next folders. → the jobs that were removed. Raises RedisError."""
        try:
            return self._step()
        except PayloadError as error:
            self._sweep = None
            log.warning("payloads_not_removed", reason=error.detail)
            return []

    def _step(self) -> list[str]:
        if self._sweep is None:
            if self._clock() < self._next_at_s or self._ledger.age_s() <= self._age_s:
                return []
            self._sweep = self._store.stored_jobs()
        found = list(islice(self._sweep, STEP_JOBS))
        if len(found) < STEP_JOBS:
            self._sweep, self._next_at_s = None, self._clock() + SWEEP_EVERY_S
        old = removable(found, now_s=self._clock(), age_s=self._age_s)
        return [job_id for job_id in self._ledger.unknown(old) if self._remove(job_id)]

    def _remove(self, job_id: str) -> bool:
        self._store.remove_job(job_id)
        log.info("orphan_removed", job_id=job_id)
        return True
