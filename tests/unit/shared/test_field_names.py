"""Names of inputs and outputs are any printable text; files and rows match them in every usual spelling."""

from __future__ import annotations

import io
import json
import unicodedata
from typing import Any

import pyarrow as pa
import pytest
from openapi_schema_validator import OAS31Validator
from pyarrow import parquet
from pydantic import ValidationError

from shared.arrow_tables import batch_of_values, columns_of_batch, input_schema, result_schema
from shared.errors import InvalidInputError
from shared.field_names import MOST_FIELD_NAME_CHARS, spelled
from shared.specs import ModelSpec
from shared.tabular.column_matching import match_columns
from shared.tabular.file_formats import UPLOAD_FORMATS, FileFormat
from shared.tabular.upload_options import read_options
from shared.tabular.writers import tabular
from shared.validation import RowValidator, example_body
from tests.support.specimens import declaration
from tests.unit.shared.tabular.test_readers import read, valid

NAMES = ["Air temperature [K]", "온도(℃)", "sepal length (cm)", "압력, bar", 'the "best" one', "a.b", "7"]


def spec(*names: str, **more: Any) -> ModelSpec:
    """A model with an input of each name; `more`: keys of every input."""
    return declaration(inputs=[{"name": name, "type": "float", "example": 1.5} | more for name in names])


def document(**keys: Any) -> dict[str, Any]:
    return {"name": "x", "type": "float", "example": 1.5} | keys


def read_one(model: ModelSpec, row: dict[str, Any]) -> list[list[Any]]:
    return RowValidator(model).read_one(json.dumps(row, ensure_ascii=False).encode())


def problems(model: ModelSpec, row: dict[str, Any]) -> list[dict[str, Any]]:
    with pytest.raises(InvalidInputError) as caught:
        read_one(model, row)
    return [dict(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "name", ["", " ", " x", "x ", "a\nb", "a\tb", "a\x00", "a\u202eb", "a\ufeff", "a\u2028b"]
)
def test_a_name_that_cannot_be_read_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        spec(name)
    with pytest.raises(ValidationError, match="name"):
        declaration(outputs=[{"name": name, "view": "value"}])


def test_a_name_has_a_limited_length() -> None:
    assert spec("x" * MOST_FIELD_NAME_CHARS)
    with pytest.raises(ValidationError, match="128 characters"):
        spec("x" * (MOST_FIELD_NAME_CHARS + 1))


def test_a_name_is_kept_composed() -> None:
    assert spec(unicodedata.normalize("NFD", "온도")).input_names == ["온도"]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (["온도", unicodedata.normalize("NFD", "온도")], "inputs: '온도' occurs twice"),
        ([{"name": "a", "aliases": ["b"]}, "b"], "'b' is a name of both 'a' and 'b'"),
        ([{"name": "a", "column": "B  b"}, "B b"], "'B b' is a name of both 'a' and 'B b'"),
        ([{"name": "a", "aliases": ["c"]}, {"name": "b", "aliases": [" c"]}], "' c' is a name of both"),
    ],
)
def test_two_inputs_share_no_name(inputs: list[Any], reason: str) -> None:
    declared = [document(**(one if isinstance(one, dict) else {"name": one})) for one in inputs]
    with pytest.raises(ValidationError, match=reason):
        declaration(inputs=declared)


def test_column_and_aliases_change_no_digest_of_a_spec_without_them() -> None:
    plain, same = spec("x"), declaration(inputs=[document(aliases=["y"])])
    assert plain.digest == same.digest == declaration().digest
    assert plain.digest.startswith("a5d148067a285bd2")  # as before these keys existed
    assert declaration(inputs=[document(column="X [K]")]).digest != plain.digest


def test_a_row_is_read_under_any_name_and_spelling() -> None:
    model = declaration(
        inputs=[document(name="온도(℃)", column="temp\n(C)", aliases=["T"]), document(name="b")]
    )
    for key in ("온도(℃)", unicodedata.normalize("NFD", "온도(℃)"), "temp\n(C)", "T"):
        assert read_one(model, {key: 2, "b": 3}) == [[2], [3]]


def test_problems_show_the_input_as_it_is_named_and_the_place_as_it_was_sent() -> None:
    model = declaration(inputs=[document(name="Air temperature [K]", aliases=["air"], maximum=400)])
    (missing,) = problems(model, {})
    assert (missing["field"], missing["loc"]) == ("Air temperature [K]", ["Air temperature [K]"])
    (high,) = problems(model, {"air": 401})
    assert (high["field"], high["loc"]) == ("Air temperature [K]", ["air"])
    _, unknown = problems(model, {"Air temp [K]": 1})
    assert unknown["msg"] == "Unknown field 'Air temp [K]'. Did you mean 'Air temperature [K]'?"
    (twice,) = problems(model, {"Air temperature [K]": 1, "air": 1})
    assert twice["msg"] == "Input 'Air temperature [K]' is given twice: 'air' is another name of it."


def test_a_list_that_names_no_field_points_to_the_input_by_number() -> None:
    with pytest.raises(InvalidInputError) as caught:
        RowValidator(spec(*NAMES)).read_batch(json.dumps({"inputs": [["x", *[1] * 6]]}).encode())
    (problem,) = caught.value.problems
    assert (problem["field"], problem["loc"]) == (NAMES[0], ["inputs", 0, 0])


def test_the_schema_describes_the_names_and_takes_the_example() -> None:
    model = spec(*NAMES)
    schema = RowValidator(model).one.json_schema()
    assert list(schema["properties"]) == NAMES == schema["required"]
    assert [schema["properties"][name]["title"] for name in NAMES] == NAMES
    OAS31Validator(schema).validate(example_body(model))


def table_of(names: list[str]) -> pa.Table:
    return pa.table({name: [float(place), place + 0.5] for place, name in enumerate(names)})


def encoded(kind: FileFormat, table: pa.Table) -> bytes:
    sink = io.BytesIO()
    match kind:
        case FileFormat.CSV:
            pa.csv.write_csv(table, sink)
        case FileFormat.NDJSON:
            lines = (json.dumps(row, ensure_ascii=False) for row in table.to_pylist())
            sink.write("\n".join(lines).encode() + b"\n")
        case FileFormat.PARQUET:
            parquet.write_table(table, sink)
        case FileFormat.ARROW:
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        case FileFormat.ARROW_FILE:
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("kind", UPLOAD_FORMATS)
def test_a_file_of_any_format_is_read_by_its_headers(kind: FileFormat) -> None:
    rows, summary = read(encoded(kind, table_of(NAMES)), kind, spec(*NAMES), id_column=NAMES[1])
    assert [row.pop(f"keep:{NAMES[1]}") for row in rows] in ([1.0, 1.5], ["1", "1.5"], ["1.0", "1.5"])
    assert valid(rows) == table_of(NAMES).to_pylist()
    assert summary.ignored_columns == ()


@pytest.mark.parametrize("kind", UPLOAD_FORMATS)
def test_a_file_of_any_format_may_have_the_column_or_an_alias(kind: FileFormat) -> None:
    model = declaration(inputs=[document(name="t", column="온도 [K]"), document(name="b", aliases=["B (x)"])])
    decomposed = unicodedata.normalize("NFD", "온도 [K]")
    rows, _ = read(encoded(kind, table_of([decomposed, "B (x)"])), kind, model)
    assert valid(rows) == [{"t": 0.0, "b": 1.0}, {"t": 0.5, "b": 1.5}]


@pytest.mark.parametrize("header", ["\ufeff온도 [K]", " 온도  [K] ", '"온도\n[K]"', "온도\u00a0[K]"])
def test_a_header_of_a_spreadsheet_is_matched(header: str) -> None:
    rows, _ = read(f"note,{header}\r\nx,1.5\r\n".encode(), FileFormat.CSV, spec("온도 [K]"))
    assert valid(rows) == [{"온도 [K]": 1.5}]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (["온도", unicodedata.normalize("NFD", "온도")], "several columns are '온도'"),
        (["온도", "T"], "several columns are '온도': '온도', 'T'."),
        (["온도", "온도"], "duplicate column '온도'."),
        (["온도계"], "column '온도' is missing. Did you mean '온도계'?"),
    ],
)
def test_a_file_with_no_column_or_several_for_an_input_is_refused(columns: list[str], reason: str) -> None:
    model = declaration(inputs=[document(name="온도", aliases=["T"])])
    with pytest.raises(InvalidInputError) as caught:
        match_columns(model, columns, (), text=True)
    (problem,) = caught.value.problems
    assert problem["field"] == "온도"
    assert str(problem["msg"]).startswith(reason)


def test_a_tensor_is_read_from_columns_of_any_of_its_names() -> None:
    model = declaration(inputs=[document(name="파형", aliases=["wave form"], shape=[2], example=[1, 2])])
    rows, _ = read(b"wave form_1,wave form_0\n2,1\n", FileFormat.CSV, model)
    assert valid(rows) == [{"파형": [1.0, 2.0]}]


def test_a_kept_column_is_found_by_its_spelling_and_by_its_inputs_name() -> None:
    model = declaration(inputs=[document(name="t", column="T [K]")])
    asked = read_options([("model", "m"), ("keep_columns", '품번,"Torque, Nm",t')]).kept
    assert asked == ("품번", "Torque, Nm", "t")
    found = match_columns(
        model, ["T [K]", unicodedata.normalize("NFD", "품번"), "Torque, Nm"], asked, text=True
    )
    assert found.kept == (unicodedata.normalize("NFD", "품번"), "Torque, Nm", "T [K]")


def test_an_input_may_have_the_name_of_a_column_of_chunks() -> None:
    names = ["error", "keep:x", "input:error", "row"]
    model = spec(*names)
    batch = batch_of_values(model, [[float(place)] for place in range(4)])
    assert len(set(input_schema(model).names)) == 4
    assert {name: values.tolist() for name, values in columns_of_batch(model, batch).items()} == {
        name: [float(place)] for place, name in enumerate(names)
    }
    rows, _ = read(b"error,keep:x,input:error,row\n1,2,3,x\n4,5,6,7\n", FileFormat.CSV, model)
    assert [row["error"] for row in rows] == ["row: 'x' is not a number (line 2)", None]


@pytest.mark.parametrize("kind", [FileFormat.CSV, FileFormat.NDJSON, FileFormat.PARQUET, FileFormat.ARROW])
def test_results_of_every_format_have_the_outputs_names(kind: FileFormat) -> None:
    outputs = ["불량 확률", 'say "yes"', "a,b", "row", "error"]
    model = declaration(outputs=[{"name": name, "view": "value"} for name in outputs])
    schema = result_schema(model)
    assert schema.names == [*outputs[:3], "output_row", "output_error", "error"]
    table = pa.table([*([float(n)] for n in range(5)), pa.array([None], pa.string())], schema=schema)
    writer = tabular(kind, schema)
    written = writer.write(table) + writer.close()
    assert columns_in(kind, written) == schema.names


def columns_in(kind: FileFormat, written: bytes) -> list[str]:
    match kind:
        case FileFormat.CSV:
            return list(pa.csv.read_csv(io.BytesIO(written)).column_names)
        case FileFormat.NDJSON:
            return list(json.loads(written))
        case FileFormat.PARQUET:
            return list(parquet.read_table(io.BytesIO(written)).column_names)
        case _:
            return list(pa.ipc.open_stream(written).schema.names)


def test_unknown_fields_of_ndjson_are_ignored_on_request() -> None:
    line = json.dumps({"UDI": 1, "온도": 2, "Product ID": "L1"}).encode()
    rows, _ = read(line, FileFormat.NDJSON, spec("온도"))
    assert "Unknown field 'UDI'" in rows[0]["error"]
    rows, _ = read(line, FileFormat.NDJSON, spec("온도"), ignore_unknown_fields=True, id_column="UDI")
    assert valid(rows) == [{"온도": 2.0, "keep:UDI": "1"}]


def test_two_spellings_are_the_same_name() -> None:
    assert spelled("\ufeff Air\u00a0temperature\r\n[K] ") == "Air temperature [K]"
    assert spelled("Torque") != spelled("torque")
