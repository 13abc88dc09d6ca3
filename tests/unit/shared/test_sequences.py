"""A sequence keeps its length and values on both lanes and from every format."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from shared import arrow_tables, columns
from shared.errors import InvalidInputError, SpecError
from shared.messages import SCHEMA, Entry, decode_entry, encode
from shared.specs import ModelSpec
from shared.tabular.file_formats import FileFormat
from shared.validation import RowValidator
from tests.support.specimens import declaration
from tests.unit.shared.tabular.test_readers import packed, read

ROWS = [[[1, 2], [3, 4]], [[5, 6]], [[7, 8], [9, 0], [1, 2]]]


def spec_of(**changes: Any) -> ModelSpec:
    steps = {"name": "steps", "type": "float32", "shape": [-1, 2], "max_length": 3, "example": [[1, 2]]}
    return declaration(inputs=[steps | changes])


@pytest.mark.parametrize("kind", ["float", "float32", "int64"])
def test_both_lanes_give_the_model_the_same_arrays(kind: str) -> None:
    spec = spec_of(type=kind)
    values = RowValidator(spec).read_batch(msgspec.json.encode({"inputs": [{"steps": row} for row in ROWS]}))
    entry = Entry(SCHEMA, "g", 1, 0, 1000, 3, columns.Encoder(spec)(values))
    online = columns.join(spec, [decode_entry(encode(entry)).columns])["steps"]
    offline = arrow_tables.columns_of_batch(spec, arrow_tables.batch_of_values(spec, values))["steps"]
    for one, other, row in zip(online, offline, ROWS, strict=True):
        assert one.dtype == other.dtype == {"float": "f8", "float32": "f4", "int64": "i8"}[kind]
        assert one.tolist() == other.tolist() == row
    parts = [columns.cut(spec, entry.columns, start, stop) for start, stop in ((0, 1), (1, 3))]
    assert [len(one) for one in columns.join(spec, parts)["steps"]] == [2, 1, 3]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([], "at least 1 item"),
        ([[1, 2]] * 4, "at most 3 items"),
        ([[1, 2], [3]], "at least 2 items"),
        ([[1, "a"]], "valid number"),
    ],
)
def test_a_wrong_sequence_is_refused_with_its_reason(row: list[Any], reason: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        RowValidator(spec_of()).read_one(msgspec.json.encode({"steps": row}))
    assert reason in str(raised.value.problems)


def test_a_file_fails_the_wrong_rows_alone() -> None:
    lists: list[Any] = [*ROWS, None, [], [[1, 2]] * 4, [[1, 2, 3]], [[None, 1]], [[1, 2]]]
    table = pa.table({"steps": pa.array(lists)})
    for each in (FileFormat.PARQUET, FileFormat.ARROW):
        rows, tally = read(packed(table, each), each, spec_of())
        assert [bool(row["error"]) for row in rows] == [False] * 3 + [True] * 5 + [False]
        assert tally.rows_failed == 5
        assert [row["steps"] for row in rows[:3]] == [np.ravel(row).tolist() for row in ROWS]
        assert "has 4 steps; 1 to 3 are accepted" in rows[5]["error"]


def test_a_cell_of_csv_holds_a_json_list() -> None:
    cells = ["[[1,2],[3,4]]", "[[5,6],[7]]", "nothing", ""]
    body = "steps,n\n" + "".join(f'"{cell}",1\n' for cell in cells)
    rows, _ = read(body.encode(), FileFormat.CSV, spec_of())
    assert rows[0]["steps"] == [1, 2, 3, 4]
    assert [bool(row["error"]) for row in rows] == [False, True, True, True]
    assert "'nothing' is not a JSON list" in rows[2]["error"]


def test_a_column_without_lists_is_refused() -> None:
    body = packed(pa.table({"steps": pa.array([1.0])}), FileFormat.ARROW)
    with pytest.raises(InvalidInputError, match="steps is a sequence: a list per row"):
        read(body, FileFormat.ARROW, spec_of())


@pytest.mark.parametrize("changes", [{"shape": [2, -1]}, {"shape": [0]}, {"shape": [2], "pad": 0.0}])
def test_only_the_first_length_may_vary(changes: dict[str, Any]) -> None:
    with pytest.raises((SpecError, ValueError), match=r"shape|pad"):
        spec_of(**changes)
