"""A chunk that is run slice by slice, by the engine or by a quarantine process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from shared import arrow_tables
from shared.columns import Columns, row_count, take
from shared.errors import InvalidInputError
from worker.execution.invalid_rows import InvalidRows
from worker.online.batching import failure
from worker.online.bisection import Bisection
from worker.predictors import OutOfMemoryError, Predictor
from worker.predictors import outputs as views
from worker.predictors.call_limit import CallLimit


@dataclass
class _Slice:
    """Rows that run together, and the search for those that fail."""

    start: int  # index in the chunk of its first row
    rows: int
    bisection: Bisection
    failed: bool = False
    out_of_memory: bool = False

    @property
    def may_pause(self) -> bool:
        return self.failed and not self.out_of_memory


@dataclass(eq=False)
class ChunkWork:
    """A chunk in the engine. The engine runs its slices; the chunk's thread waits for `ended`."""

    predictor: Predictor
    name: str  # `{job}/{chunk}`, for logs and the heartbeat
    columns: Columns
    invalid: InvalidRows  # not in the columns, but in the results
    call_limit: CallLimit = field(default_factory=CallLimit)  # the engine sets its own
    position: int = 0  # rows that are done
    results: list[pa.RecordBatch] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _slice: _Slice | None = None  # the slice whose failing rows are being isolated
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
        """Whether the engine has nothing left to do for it."""
        return self._stopped or self.complete

    def begin(self) -> None:
        """Begin to decode the images of a first slice, while the engine runs other work."""
        if decoder := self.predictor.decoder:
            decoder.begin(self.columns, 0, self.predictor.spec.batching.max_rows)

    def stop(self) -> None:
        """Take no further slice: the lease is lost, or the worker is stopping."""
        self._stopped = True

    def run_slice(self, rows: int, on_failure: Callable[[], None], *, limit_s: float = float("inf")) -> int:
        """Predict the next rows, at most `rows`; failed rows get their reason. → the number of rows done.

        The search for failing rows pauses after the call that exceeds `limit_s`, and the next slice continues
        it. Out of memory is the exception: that search also determines the call limit.
        """
        slice_ = self._slice or self._next_slice(rows)
        start, end_s = self.position, time.monotonic() + limit_s
        while slice_.bisection.group:
            self._run_group(slice_, on_failure)
            self.position = slice_.start + slice_.bisection.settled
            if slice_.may_pause and time.monotonic() >= end_s:
                break
        self._slice = slice_ if slice_.bisection.group else None
        if self._slice is None:
            self.call_limit.settle()
            if decoder := self.predictor.decoder:
                decoder.release(self.columns, slice_.start, self.position)
        return self.position - start

    def _next_slice(self, rows: int) -> _Slice:
        """At most `rows`, or the rows that are being decoded together. The rows after them are decoded while
        the slice computes."""
        start = self.position
        if decoder := self.predictor.decoder:
            rows = decoder.begun_rows(self.columns, start) or rows
            decoder.begin(self.columns, start, start + rows)
            decoder.begin(self.columns, start + rows, start + 2 * rows)
        rows = min(rows, self.rows - start)
        return _Slice(start, rows, Bisection(rows))

    def _run_group(self, slice_: _Slice, on_failure: Callable[[], None]) -> None:
        group, spec = slice_.bisection.group, self.predictor.spec
        columns = take(self.columns, slice_.start + group.start, slice_.start + group.stop)
        try:
            answer = self.call_limit.predict(self.predictor, columns)
        except Exception as error:  # a model may raise anything
            slice_.out_of_memory |= isinstance(error, OutOfMemoryError)
            if not slice_.failed and not isinstance(error, InvalidInputError):
                on_failure()
            slice_.failed = True
            if slice_.bisection.failed():
                self.results.append(views.failed_batch(spec, [failure(error).detail]))
        else:
            self.results.append(views.as_batch(spec, answer))
            slice_.bisection.passed()

    def answer(self) -> pa.Table:
        """The results of all rows in order, invalid rows included."""
        predicted = pa.Table.from_batches(self.results, arrow_tables.result_schema(self.predictor.spec))
        return self.invalid.put_back(predicted)


class Slicer(Protocol):
    """The engine's interface for chunks."""

    def submit(self, work: ChunkWork) -> None: ...
