"""One chunk on its way through whoever runs it, slice by slice: the engine, or a quarantine process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from shared import tables
from shared.columns import Columns, row_count, take
from worker.execution.invalid_rows import InvalidRows
from worker.online.batching import failure
from worker.online.bisection import Bisection
from worker.predictors import OutOfMemory, Predictor
from worker.predictors import outputs as views
from worker.predictors.call_limit import CallLimit


@dataclass
class _Slice:
    """Rows that run together, and which of them are known to pass or to fail."""

    start: int  # its first row, in the chunk
    bisection: Bisection
    failed: bool = False
    out_of_memory: bool = False

    @property
    def may_pause(self) -> bool:
        return self.failed and not self.out_of_memory


@dataclass(eq=False)
class ChunkWork:
    """One chunk on its way through the engine. The engine advances it; its thread waits for `ended`."""

    predictor: Predictor
    name: str  # `{job}/{chunk}`, for logs and the heartbeat
    columns: Columns
    invalid: InvalidRows  # left out of the columns; they stand in the results
    ceiling: CallLimit = field(default_factory=CallLimit)  # the engine's, where it runs there
    position: int = 0  # rows that are done
    results: list[pa.RecordBatch] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _slice: _Slice | None = None  # in which failing rows are being found
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

    def run_slice(self, rows: int, on_failure: Callable[[], None], *, limit_s: float = float("inf")) -> int:
        """Predict the next rows, at most so many; rows that fail carry their reason. → rows that are done.

        While failing rows are being found, it returns after the call with which `limit_s` are over, and the
        next slice goes on there. Out of memory is the exception: that search also finds the ceiling.
        """
        slice_ = self._slice or _Slice(self.position, Bisection(min(rows, self.rows - self.position)))
        start, end_s = self.position, time.monotonic() + limit_s
        while slice_.bisection.group:
            self._run_group(slice_, on_failure)
            self.position = slice_.start + slice_.bisection.settled
            if slice_.may_pause and time.monotonic() >= end_s:
                break
        self._slice = slice_ if slice_.bisection.group else None
        if self._slice is None:
            self.ceiling.settle()
        return self.position - start

    def _run_group(self, slice_: _Slice, on_failure: Callable[[], None]) -> None:
        group, spec = slice_.bisection.group, self.predictor.spec
        columns = take(self.columns, slice_.start + group.start, slice_.start + group.stop)
        try:
            answer = self.ceiling.predict(self.predictor, columns)
        except Exception as error:  # a model may raise anything
            slice_.out_of_memory |= isinstance(error, OutOfMemory)
            if not slice_.failed:
                on_failure()
                slice_.failed = True
            if slice_.bisection.failed():
                self.results.append(views.failed_batch(spec, [failure(error).detail]))
        else:
            self.results.append(views.as_batch(spec, answer))
            slice_.bisection.passed()

    def answer(self) -> pa.Table:
        """The results of all its rows, the invalid ones too, in their order."""
        predicted = pa.Table.from_batches(self.results, tables.result_schema(self.predictor.spec))
        return self.invalid.put_back(predicted)


class Slicer(Protocol):
    """The engine, as a chunk sees it."""

    def submit(self, work: ChunkWork) -> None: ...
