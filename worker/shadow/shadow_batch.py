"""Shadowed rows that run together: the call in the sandbox, and the comparison with the clients' answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shared import arrow_tables
from shared.arrow_tables import ERROR, result_schema
from shared.columns import join
from shared.keys import split_model_key
from shared.shadowing import DifferingRow, ShadowCount, ShadowEntry
from shared.tabular.differences import Difference
from worker.predictors import Predictor
from worker.predictors import outputs as views
from worker.sandbox.sandbox_protocol import FrameKind, Task
from worker.sandbox.sandbox_runner import SandboxProcess

PATIENCE = 10.0
"""How much longer a call may take because other processes use the processor."""
MOST_KEPT = 100
"""Differing rows of a batch that are kept."""


@dataclass(frozen=True)
class ShadowBatch:
    """Entries with the same answering version, sampled under one generation of the deployment."""

    entries: Sequence[ShadowEntry]

    @property
    def rows(self) -> int:
        return sum(entry.rows for entry in self.entries)

    @property
    def generation(self) -> int:
        return self.entries[0].generation

    def answers(self) -> dict[str, list[object]]:
        """The answers that the clients got, by output."""
        columns = zip(*(entry.answer for entry in self.entries), strict=True)
        return dict(zip(self.entries[0].outputs, map(list, map(chain.from_iterable, columns)), strict=True))


@dataclass(frozen=True)
class ShadowRun:
    """The result of a batch."""

    results: pa.Table
    took_s: float
    disagrees: NDArray[np.bool_]
    counts: dict[ShadowCount, int]


def batches_of(entries: Sequence[ShadowEntry], most_rows: int) -> Iterator[ShadowBatch]:
    """Group entries into batches of about `most_rows` rows, at least one entry each."""
    batch: list[ShadowEntry] = []
    for entry in entries:
        rows = sum(one.rows for one in batch) + entry.rows
        if batch and (rows > most_rows or _kind(entry) != _kind(batch[0])):
            yield ShadowBatch(batch)
            batch = []
        batch.append(entry)
    if batch:
        yield ShadowBatch(batch)


def _kind(entry: ShadowEntry) -> tuple[Any, ...]:
    return entry.version, entry.generation, entry.tolerance, entry.outputs


def run_batch(
    predictor: Predictor,
    batch: ShadowBatch,
    process: SandboxProcess,
    limit_s: float,
    may_go_on: Callable[[], bool],
) -> ShadowRun | None:
    """Run a batch and compare its answers; None: it had to stop. Raises SandboxError.

    `limit_s`: of a model call, on a processor of its own.
    """
    task = Task(
        columns=[entry.columns for entry in batch.entries],
        column_rows=[entry.rows for entry in batch.entries],
        step_rows=predictor.spec.batching.max_rows,
        limit_s=limit_s * PATIENCE,
        background=True,
    )
    results: list[pa.RecordBatch] = []
    for kind, body in process.frames(task, may_go_on):
        match kind:
            case FrameKind.RESULT:
                results += arrow_tables.read_ipc(body).to_batches()
            case FrameKind.DONE:
                return _compared(predictor, batch, results, took_s=float(body or b"0"))
            case FrameKind.SICK | FrameKind.DIED:
                left = batch.rows - sum(one.num_rows for one in results)
                results.append(views.failed_batch(predictor.spec, [body.decode(errors="replace")] * left))
                return _compared(predictor, batch, results, took_s=0.0)
    return None


def _compared(
    predictor: Predictor, batch: ShadowBatch, results: Sequence[pa.RecordBatch], *, took_s: float
) -> ShadowRun:
    schema = result_schema(predictor.spec)
    table = pa.Table.from_batches(results, schema).combine_chunks()
    difference = Difference(batch.entries[0].tolerance)
    disagrees = difference.add(_table(batch.answers(), schema, batch.rows), table)
    counts = {
        ShadowCount.AGREED: difference.equal + difference.within_tolerance,
        ShadowCount.DIFFERED: difference.different,
        ShadowCount.FAILED: difference.failed_b,
    }
    return ShadowRun(table, took_s, disagrees, counts)


def _table(answers: dict[str, list[object]], schema: pa.Schema, rows: int) -> pa.Table:
    columns = {name: _array(values, schema, name) for name, values in answers.items()}
    return pa.table(columns | {ERROR: pa.nulls(rows, pa.string())})


def _array(values: list[object], schema: pa.Schema, name: str) -> pa.Array:
    """The values with the type of the shadow version's output of that name, if they have that type."""
    if name in schema.names:
        try:
            return pa.array(values, schema.field(name).type)
        except (pa.ArrowException, OverflowError):
            pass
    return pa.array(values)


def kept_rows(predictor: Predictor, batch: ShadowBatch, ran: ShadowRun) -> list[bytes]:
    """The differing rows of a batch as JSON, without images."""
    places = np.flatnonzero(ran.disagrees)[:MOST_KEPT].tolist()
    if not places:
        return []
    inputs = join(predictor.spec, [entry.columns for entry in batch.entries])
    shown = {one.name: inputs[one.name] for one in predictor.spec.inputs if one.image is None}
    answers, results = batch.answers(), ran.results.take(places).to_pylist()
    _, version = split_model_key(predictor.key)
    return [
        msgspec.json.encode(
            DifferingRow(
                at_ms=round(time.time() * 1000),
                version=batch.entries[0].version,
                shadow_version=version,
                inputs={name: _plain(column[place]) for name, column in shown.items()},
                answer={name: values[place] for name, values in answers.items()},
                error=result.pop(ERROR) or "",
                shadow_answer=result,
            )
        )
        for place, result in zip(places, results, strict=True)
    ]


def _plain(value: Any) -> Any:  # Any: an input's value, as JSON shows it
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else f"{value}Z"
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
