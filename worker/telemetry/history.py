"""This worker's part in the history of the last hour: the heartbeat adds what is new since it last did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from shared.history import Count, count_field
from worker.telemetry.counters import ChunkCounters


class WorkerHistory:
    """Rows of committed chunks, by field of the history. Owned by the heartbeat's thread."""

    def __init__(self, tally: ChunkCounters) -> None:
        self._tally = tally
        self._told: Counter[str] = Counter()

    def counts(self) -> Mapping[str, int]:
        """What is not told yet."""
        done = Counter({count_field(key, Count.JOB_ROWS): n for key, n in self._tally.rows_done().items()})
        return done - self._told

    def told(self, counts: Mapping[str, int]) -> None:
        """Those have been written."""
        self._told.update(counts)
