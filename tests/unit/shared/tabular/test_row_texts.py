"""The rows of a JSON body: their form, and their kept columns."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pytest

from api.jobs.json_chunks import Submission, chunks_of, examine
from shared.arrow_tables import read_ipc
from shared.errors import InvalidInputError
from shared.validation import RowValidator
from tests.unit.gateway_fakes import IRIS

VALIDATOR = RowValidator(IRIS)
FLOWER = {"sepal_length": 1.5, "sepal_width": 1, "petal_length": 1, "petal_width": 1}


def submission(rows: list[Any], **more: Any) -> Submission:
    return Submission(model="iris", inputs=[msgspec.Raw(msgspec.json.encode(row)) for row in rows], **more)


def stored(rows: list[Any], **more: Any) -> pa.Table:
    chunks = chunks_of(VALIDATOR, submission(rows, **more), chunk_rows=2, chunk_bytes=10**9)
    return pa.concat_tables(read_ipc(chunk.data) for chunk in chunks)


def kept(values: list[Any]) -> pa.ChunkedArray:
    """Returns a stored kept column, in chunks of two rows."""
    return stored([FLOWER | {"lot": value} for value in values], keep_columns=["lot"])["keep:lot"]


@pytest.mark.parametrize("place", [1, 999, 1000, 2400])
@pytest.mark.parametrize("first", [FLOWER, [1, 1, 1, 1]])
def test_mixed_forms_of_rows_are_rejected_at_any_position(place: int, first: Any) -> None:
    other = [1, 1, 1, 1] if first is FLOWER else FLOWER
    mixed = submission([first] * place + [other] * 100)
    for take in (lambda: stored([first] * place + [other] * 100), lambda: examine(VALIDATOR, mixed)):
        with pytest.raises(InvalidInputError, match="must have the same form") as refused:
            take()
        [problem] = refused.value.problems
        assert (problem["row"], problem["loc"]) == (place, ["inputs", place])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2, None, -(2**63) + 1], pa.int64()),
        ([True, None, False], pa.bool_()),
        ([1, 2.5, None], pa.float64()),
        (["a", None, "b"], pa.string()),
    ],
)
def test_kept_values_come_back_as_they_came(values: list[Any], kind: pa.DataType) -> None:
    found = kept(values)
    assert (found.type, found.to_pylist()) == (kind, values)


@pytest.mark.parametrize("values", [[1, "a", None], [1, True], [{"line": 2}, [1]], [2**70, 1]])
def test_kept_values_of_several_types_are_texts_in_every_chunk(values: list[Any]) -> None:
    texts = [v if v is None or isinstance(v, str) else msgspec.json.encode(v).decode() for v in values]
    assert kept(values).to_pylist() == texts


def test_an_input_may_be_kept_and_a_row_may_lack_a_kept_field() -> None:
    table = stored([FLOWER | {"id": 7}, FLOWER], id_column="id", keep_columns=["sepal_length"])
    assert table["keep:id"].to_pylist() == [7, None]
    assert table["keep:sepal_length"].to_pylist() == table["sepal_length"].to_pylist() == [1.5, 1.5]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1, 1, 1, 1]], "row 0 is not an object"),
        ([FLOWER, FLOWER], "no row has this field"),
        ([FLOWER | {"lot": 1, "other": 2}], "problem"),
    ],
)
def test_fields_that_cannot_be_kept_and_unknown_fields_are_rejected(rows: list[Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        stored(rows, keep_columns=["lot"])
