"""Answers of several typed outputs on both lanes: in calls within the memory, and beside failed rows."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import numpy as np
import pyarrow as pa

from api.models.rendering import AnswerRenderer
from shared.arrow_tables import ERROR, read_ipc, result_schema, write_ipc
from shared.columns import Columns, encode_rows, row_count
from shared.messages import SCHEMA, Entry, OutputColumn
from tests.support.engines import predictor
from worker.execution.invalid_rows import InvalidRows
from worker.execution.slices import ChunkWork
from worker.online.batch import EntryBatch
from worker.online.batching import Delivery
from worker.predictors import Predictor
from worker.predictors.answer_selection import NamedAnswers
from worker.predictors.call_limit import CallLimit

LARGE = 2**60
OUTPUTS: list[dict[str, Any]] = [
    {"name": "serial", "view": "value", "type": "int64"},
    {"name": "next", "view": "value", "type": "int64", "nullable": True},
    {"name": "remark", "view": "value", "type": "string"},
    {"name": "passed", "view": "value", "type": "bool"},
    {"name": "code", "view": "tensor", "type": "float32", "shape": [2]},
    {"name": "state", "view": "label", "classes": ["off", "on"]},
]


def typed() -> Predictor:
    """A model with an answer for each output; it raises on negative numbers, and if it gets too many rows."""

    def answer(columns: Columns) -> NamedAnswers:
        x = columns["x"]
        if row_count(columns) > 3:
            raise MemoryError
        if (x < 0).any():
            raise ValueError("negative")
        return {
            "serial": LARGE + x.astype(np.int64),
            "next": np.array([None if value % 2 else LARGE + 1 for value in x], dtype=object),
            "remark": np.where(x > 2, "high", "낮음"),
            "passed": x > 2,
            "code": np.stack([x / 10, x], axis=1).astype(np.float32),
            "state": np.stack([x > 2, x <= 2], axis=1).astype(np.float64),
        }

    outputs = [output | {"from": output["name"]} for output in OUTPUTS]
    return predictor(answer, outputs=outputs, golden=())  # type: ignore[arg-type]  # a runtime of one answer


def row(x: int) -> dict[str, Any]:
    return {
        "serial": LARGE + x,
        "next": None if x % 2 else LARGE + 1,
        "remark": "high" if x > 2 else "낮음",
        "passed": x > 2,
        "code": [x / 10, float(x)],
        "state": "off" if x > 2 else "on",
    }


def test_a_job_that_runs_in_pieces_keeps_types_and_fails_rows_alone() -> None:
    model = typed()
    xs = np.array([0.0, 1, 2, -1, 4, 5, 6, 7, 8, 9])
    work = ChunkWork(model, "job/0", {"x": xs}, InvalidRows(0), CallLimit())
    while not work.complete:
        work.run_slice(8, lambda: None)
    schema = result_schema(model.spec)
    stored = read_ipc(write_ipc(work.answer().to_batches(), schema))
    assert stored.schema.equals(schema)
    failed = stored.to_pylist()[3]
    assert "negative" in failed.pop(ERROR)
    assert set(failed.values()) == {None}
    for name in stored.column_names[:-1]:
        column = stored[name].combine_chunks()
        expected = [None if x < 0 else row(int(x))[name] for x in xs]
        assert column.equals(pa.array(expected, column.type))
    assert work.call_limit.rows == 2


def test_a_request_larger_than_memory_is_answered_with_its_types() -> None:
    model, xs = typed(), range(7)
    wire = encode_rows(model.spec, [{"x": float(x)} for x in xs])
    entry = Entry(SCHEMA, "gw:1", 7, 0, 9_500, len(xs), wire)
    batch = EntryBatch(model, [Delivery(model.key, b"1-0", entry)], read_at_ms=1.0)
    batch.run(lambda: None)
    (answer,) = batch.answers()["gw:1"]
    assert answer.columns is not None
    columns = cast("list[OutputColumn]", answer.columns)
    body = AnswerRenderer(model.spec, "1.0.0").batch(columns)
    assert msgspec.json.decode(body)["results"] == [row(x) for x in xs]


def test_a_batch_answers_each_entry_in_the_form_that_it_asks_for() -> None:
    model = typed()
    wires = [encode_rows(model.spec, [{"x": float(x)} for x in xs]) for xs in ([1], [2, 3])]
    plain = Entry(SCHEMA, "gw:1", 7, 0, 9_500, 1, wires[0])
    binary = Entry(SCHEMA, "gw:2", 8, 0, 9_500, 2, wires[1], binary_outputs=True)
    deliveries = [Delivery(model.key, b"%d-0" % entry.id, entry) for entry in (plain, binary)]
    batch = EntryBatch(model, deliveries, read_at_ms=1.0)
    batch.run(lambda: None)
    answers = {gateway: answer.columns for gateway, (answer,) in batch.answers().items()}
    assert answers["gw:1"] is not None
    assert [column[0] for column in answers["gw:1"]] == list((row(1) | {"code": [0.1, 1.0]}).values())
    assert answers["gw:2"] == [
        np.array([LARGE + 2, LARGE + 3], "<i8").tobytes(),
        [LARGE + 1, None],
        ["낮음", "high"],
        b"\0\1",
        np.array([[0.2, 2], [0.3, 3]], "<f4").tobytes(),
        ["on", "off"],
    ]
