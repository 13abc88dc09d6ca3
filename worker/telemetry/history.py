"""This worker's counts for the history of the last hour. The heartbeat writes the increments."""

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
        """The increments since the last write."""
        done = Counter({count_field(key, Count.JOB_ROWS): n for key, n in self._tally.rows_done().items()})
        return done - self._told

    def told(self, counts: Mapping[str, int]) -> None:
        """Record that these increments were written."""
        self._told.update(counts)
