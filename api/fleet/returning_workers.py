"""Workers that ended without an order and are expected back: requests for their models wait in the stream.

A supervisor starts such a worker again within seconds. Meanwhile its model versions count as held, at their
last known rates, for at most `RETURN_LIMIT_S` after its last heartbeat expired. A worker that stops in order
withdraws its heartbeat, and is not waited for. Pure: times are passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from shared.worker_records import WorkerRecord, WorkerState

RETURN_LIMIT_S = 10.0
"""Longer than most starts, and than the first delays of `shared/backoff.py`; as long as
a request waits by default, so that few requests wait in vain for a machine that is gone."""


@dataclass
class _Lost:
    record: WorkerRecord
    seen_s: float


@dataclass
class ReturningWorkers:
    """The last heartbeats of the workers."""

    _last: dict[str, _Lost] = field(default_factory=dict)  # by worker id

    def see(
        self, live: Iterable[WorkerRecord], announced: Collection[str], now_s: float
    ) -> tuple[WorkerRecord, ...]:
        """Returns the workers that are expected back, at a monotonic time.

        `announced`: ids of workers that did not withdraw; those of ended ones are kept for about a minute.
        """
        known = {record.id: record for record in live}
        self._last = {id_: lost for id_, lost in self._last.items() if now_s - lost.seen_s < RETURN_LIMIT_S}
        self._last |= {id_: _Lost(record, now_s) for id_, record in known.items()}
        successors = {record.name: record for record in known.values()}
        return tuple(self._returning(known, announced, successors))

    def _returning(
        self, known: Collection[str], announced: Collection[str], successors: dict[str, WorkerRecord]
    ) -> Iterator[WorkerRecord]:
        for id_, lost in self._last.items():
            successor = successors.get(lost.record.name)
            if id_ not in known and (_loads(successor) if successor is not None else id_ in announced):
                yield lost.record


def _loads(successor: WorkerRecord) -> bool:
    """Whether a worker may still come to hold what its predecessor held. Afterwards its own record counts."""
    return successor.state is WorkerState.STARTING or bool(successor.loading)
