"""Shadowed rows: grouping into batches, and what the outcome of a sandbox counts as."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from shared.arrow_tables import result_schema, write_ipc
from shared.columns import encode_rows
from shared.shadowing import SCHEMA, DifferingRow, ShadowCount, ShadowEntry
from tests.support.engines import Doubling, predictor
from worker.sandbox.sandbox_protocol import Frame, FrameKind, Task
from worker.shadow.shadow_batch import ShadowBatch, ShadowRun, batches_of, kept_rows, run_batch

MODEL = predictor(Doubling())
SCHEMA_OF_RESULTS = result_schema(MODEL.spec)
INPUT, OUTPUT = MODEL.spec.inputs[0].name, SCHEMA_OF_RESULTS.names[0]


def entry(*values: float, version: str = "1.0.0", answers: Sequence[float] | None = None) -> ShadowEntry:
    columns = encode_rows(MODEL.spec, [{INPUT: value} for value in values])
    answer: list[object] = list(answers if answers is not None else [2 * value for value in values])
    return ShadowEntry(SCHEMA, version, 3, 0.0, len(values), columns, [OUTPUT], [answer])


class Process:
    """A sandbox that answers with these frames."""

    def __init__(self, *frames: Frame) -> None:
        self._frames = frames
        self.task: Task | None = None

    def frames(self, task: Task, _: Callable[[], bool]) -> Iterator[Frame]:
        self.task = task
        yield from self._frames


def results(*values: float) -> Frame:
    rows = [{OUTPUT: value, "error": None} for value in values]
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA_OF_RESULTS)
    return FrameKind.RESULT, write_ipc([batch], SCHEMA_OF_RESULTS)


def ran(batch: ShadowBatch, *frames: Frame) -> ShadowRun | None:
    process: Any = Process(*frames)  # Any: a stand-in
    return run_batch(MODEL, batch, process, 1.0, lambda: True)


def test_entries_of_one_answering_version_run_together_up_to_a_batch() -> None:
    entries = [entry(1), entry(2, 3), entry(4), entry(5, version="0.9.0"), entry(6)]
    assert [batch.rows for batch in batches_of(entries, 3)] == [3, 1, 1, 1]
    assert [batch.rows for batch in batches_of([entry(1, 2, 3, 4)], 3)] == [4], "never less than an entry"
    assert list(batches_of([], 3)) == []


def test_answers_are_compared_row_by_row_over_the_entries_of_a_batch() -> None:
    batch = ShadowBatch([entry(1, 2), entry(3)])
    found = ran(batch, (FrameKind.READY, b""), results(2, 4.5), results(6), (FrameKind.DONE, b"0.25"))
    assert found is not None
    assert found.counts == {ShadowCount.AGREED: 2, ShadowCount.DIFFERED: 1, ShadowCount.FAILED: 0}
    assert (found.disagrees.tolist(), found.took_s) == ([False, True, False], 0.25)
    (kept,) = kept_rows(MODEL, batch, found)
    row = msgspec.json.decode(kept, type=DifferingRow)
    assert (row.inputs, row.answer, row.shadow_answer) == ({INPUT: 2}, {OUTPUT: 4}, {OUTPUT: 4.5})


@pytest.mark.parametrize("kind", [FrameKind.DIED, FrameKind.SICK])
def test_rows_without_a_result_have_failed_if_the_process_ended(kind: FrameKind) -> None:
    found = ran(ShadowBatch([entry(1, 2, 3)]), results(2), (kind, b"ended with SIGSEGV"))
    assert found is not None
    assert found.counts == {ShadowCount.AGREED: 1, ShadowCount.DIFFERED: 0, ShadowCount.FAILED: 2}
    assert found.results["error"].to_pylist() == [None, "ended with SIGSEGV", "ended with SIGSEGV"]


def test_a_run_that_had_to_stop_counts_nothing() -> None:
    assert ran(ShadowBatch([entry(1, 2, 3)]), results(2)) is None
