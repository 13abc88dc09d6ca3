"""One chunk on its way through whoever runs it, slice by slice: the engine, or a quarantine process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from shared import tables
from shared.columns import Columns, row_count, take
from worker import views
from worker.batches import salvage
from worker.ceilings import Ceiling
from worker.invalid_rows import InvalidRows
from worker.predictors import Predictor


@dataclass(eq=False)
class ChunkWork:
    """One chunk on its way through the engine. The engine advances it; its thread waits for `ended`."""

    predictor: Predictor
    name: str  # `{job}/{chunk}`, for logs and the heartbeat
    columns: Columns
    invalid: InvalidRows  # left out of the columns; they stand in the results
    ceiling: Ceiling = field(default_factory=Ceiling)  # the engine's, where it runs there
    position: int = 0  # rows that are done
    results: list[pa.RecordBatch] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _stopped: bool = False

    @property
    def job_id(self) -> str:
        return self.name.partition("/")[0]

    @property
    def rows(self) -> int:
        return row_count(self.columns)

    @property
    def complete(self) -> bool:
        return self.position == self.rows

    @property
    def over(self) -> bool:
        """Whether the engine has nothing more to do for it."""
        return self._stopped or self.complete

    def stop(self) -> None:
        """Take no further slice: the lease is lost, or the worker is stopping."""
        self._stopped = True

    def run_slice(self, rows: int, on_failure: Callable[[], None]) -> int:
        """Predict the next rows, at most so many; rows that fail bear their reason. → rows run."""
        start, stop = self.position, min(self.position + rows, self.rows)
        pieces: dict[int, pa.RecordBatch] = {}

        def run(part: range) -> None:
            answer = self.ceiling.predict(self.predictor, take(self.columns, part.start, part.stop))
            pieces[part.start] = views.as_batch(self.predictor.spec, answer)

        for row, failure in salvage(range(start, stop), run, on_failure):  # type: ignore[arg-type]  # slices of a range are ranges
            pieces[row] = views.failed_batch(self.predictor.spec, [failure.detail])
        self.ceiling.settle()
        self.results += [pieces[first] for first in sorted(pieces)]
        self.position = stop
        return stop - start

    def answer(self) -> pa.Table:
        """The results of all its rows, the invalid ones too, in their order."""
        predicted = pa.Table.from_batches(self.results, tables.result_schema(self.predictor.spec))
        return self.invalid.put_back(predicted)


class Slicer(Protocol):
    """The engine, as a chunk sees it."""

    def submit(self, work: ChunkWork) -> None: ...
