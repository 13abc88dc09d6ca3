"""Validation by a model's spec: accepted rows, and the errors of rejected rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.errors import InvalidInputError
from shared.validation import RowValidator, example_body
from tests.support.specimens import declaration, every_type
from tests.unit.gateway_fakes import CLASSIFIER, IRIS, IRIS_ROW, QUALITY

iris, classifier, quality, every = (RowValidator(s) for s in (IRIS, CLASSIFIER, QUALITY, every_type()))


def problems_of(read: Any, body: bytes) -> list[dict[str, Any]]:
    with pytest.raises(InvalidInputError) as invalid:
        read(body)
    return [dict(problem) for problem in invalid.value.problems]


def iris_body(**changes: str) -> bytes:
    """A row of iris with raw JSON in some places."""
    return raw_object({name: json.dumps(value) for name, value in IRIS_ROW.items()} | changes)


def raw_object(fields: dict[str, str]) -> bytes:
    """A JSON object of raw values, which may be invalid JSON."""
    members = ", ".join(f'"{name}": {value}' for name, value in fields.items())
    return f"{{{members}}}".encode()


def test_a_row_is_read_into_the_order_of_the_spec() -> None:
    body = json.dumps(dict(reversed(IRIS_ROW.items()))).encode()
    assert iris.read_one(body) == [[5.1], [3.5], [1.4], [0.2]]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("NaN", "finite_number"),
        ("Infinity", "finite_number"),
        ("-Infinity", "finite_number"),
        ("1e999", "finite_number"),
        ("1" + "0" * 400, "finite_number"),
        ("10.1", "less_than_equal"),
        ("-0.1", "greater_than_equal"),
        ("true", "float_type"),
        ("null", "float_type"),
        ('"5.1"', "float_type"),
        ("[5.1]", "float_type"),
        ("{}", "float_type"),
    ],
)
def test_a_wrong_value_is_named_by_row_and_field(value: str, kind: str) -> None:
    (problem,) = problems_of(iris.read_one, iris_body(sepal_width=value))
    assert (problem["row"], problem["field"], problem["type"]) == (0, "sepal_width", kind)
    assert problem["loc"] == ["sepal_width"]
    json.dumps(problem, allow_nan=False)


def test_a_missing_and_an_unknown_field_are_both_named() -> None:
    body = json.dumps({"sepal_length": 1, "sepal_width": 1, "petal_length": 1, "petal_widht": 1}).encode()
    found = {(p["field"], p["type"]) for p in problems_of(iris.read_one, body)}
    assert found == {("petal_width", "missing"), ("petal_widht", "extra_forbidden")}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5000,
        iris_body() + b"x",
    ],
)
def test_what_is_not_json_is_invalid(body: bytes) -> None:
    (problem,) = problems_of(iris.read_one, body)
    assert problem["type"] == "json_invalid"


@pytest.mark.parametrize("body", [b"[]", b"null", b"5", b'"x"'])
def test_json_that_is_no_object_is_invalid(body: bytes) -> None:
    assert problems_of(iris.read_one, body)[0]["type"] == "dict_type"


def test_a_batch_may_be_lists_or_objects() -> None:
    lists = iris.read_batch(b'{"inputs": [[5.1, 3.5, 1.4, 0.2], [1, 2, 3, 4]]}')
    objects = iris.read_batch(json.dumps({"inputs": [IRIS_ROW, IRIS_ROW]}).encode())
    assert lists == [[5.1, 1.0], [3.5, 2.0], [1.4, 3.0], [0.2, 4.0]]
    assert objects == [[5.1, 5.1], [3.5, 3.5], [1.4, 1.4], [0.2, 0.2]]


def test_a_batch_of_a_tensor_may_be_lists_of_its_values() -> None:
    row = list(range(10))
    assert classifier.read_batch(json.dumps({"inputs": [row, row]}).encode()) == [[row, row]]
    assert classifier.read_one(json.dumps({"features": row}).encode()) == [[row]]


@pytest.mark.parametrize(
    ("inputs", "row", "field"),
    [
        ("[]", None, "inputs"),
        ("5", None, "inputs"),
        ("[[1,2,3,4],[1,2,3]]", 1, "petal_width"),
        ("[[1,2,3,4],[1,2,3,4,5]]", 1, None),
        ('[[1,2,3,4],[1,"x",3,4]]', 1, "sepal_width"),
        ('[[1,2,3,4],{"sepal_length":1}]', 1, None),
        ("[[1,2,3,NaN]]", 0, "petal_width"),
        ("[7]", 0, None),
    ],
)
def test_in_a_batch_the_row_and_the_field_are_named(inputs: str, row: int | None, field: str | None) -> None:
    problem = problems_of(iris.read_batch, b'{"inputs": %s}' % inputs.encode())[0]
    assert (problem["row"], problem["field"]) == (row, field)


def test_the_rows_of_a_part_of_a_job_are_counted_from_the_jobs_first() -> None:
    (problem,) = problems_of(lambda body: iris.read_rows(body, 2000), b"[[1,2,3,4],[1,2,3,null]]")
    assert (problem["row"], problem["field"], problem["loc"]) == (2001, "petal_width", ["inputs", 2001, 3])


def test_more_rows_than_a_request_may_hold_are_refused() -> None:
    most = IRIS.limits.max_rows_per_request
    body = json.dumps({"inputs": [[1, 1, 1, 1]] * (most + 1)}).encode()
    assert problems_of(iris.read_batch, body)[0]["field"] == "inputs"


def test_a_tensor_of_another_length_is_refused() -> None:
    for length in (9, 11):
        problem = problems_of(classifier.read_one, json.dumps({"features": [0] * length}).encode())[0]
        assert problem["field"] == "features"


def test_a_nullable_field_may_be_null_or_absent() -> None:
    row = example_body(QUALITY)
    absent = {name: value for name, value in row.items() if name != "torque_nm"}
    column = QUALITY.input_names.index("torque_nm")
    for body in (row | {"torque_nm": None}, absent):
        assert quality.read_one(json.dumps(body).encode())[column] == [None]


def test_a_value_that_is_not_allowed_is_refused_and_the_allowed_are_named() -> None:
    (problem,) = problems_of(
        quality.read_one, json.dumps(example_body(QUALITY) | {"product": "hat"}).encode()
    )
    assert problem["field"] == "product"
    assert "'gear'" in problem["msg"]


@pytest.mark.parametrize("moment", ["1700000000", "2026-03-03", "yesterday", "2026-13-03T00:00:00Z", ""])
def test_a_time_that_is_not_rfc_3339_is_refused(moment: str) -> None:
    body = json.dumps(example_body(QUALITY) | {"produced_at": moment}).encode()
    assert problems_of(quality.read_one, body)[0]["field"] == "produced_at"


def test_a_time_keeps_its_zone() -> None:
    body = json.dumps(example_body(QUALITY) | {"produced_at": "2026-03-03T18:30:00+09:00"}).encode()
    column = QUALITY.input_names.index("produced_at")
    assert quality.read_one(body)[column] == [datetime(2026, 3, 3, 9, 30, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("a_int64", "1.0"),
        ("a_int64", str(2**63)),
        ("a_int64", "true"),
        ("a_bool", "1"),
        ("a_string", "5"),
        ("a_string", json.dumps("x" * 1025)),
        ("a_float32", "1e39"),
        ("a_datetime", "1700000000"),
        ("tensor", "[[0, 1, 2]]"),
        ("tensor", "[[0, 1, 2], [3, 4, NaN]]"),
    ],
)
def test_types_are_strict(field: str, value: str) -> None:
    fields = {name: json.dumps(v) for name, v in example_body(every_type()).items() if v is not None}
    assert problems_of(every.read_one, raw_object(fields | {field: value}))[0]["field"] == field


def test_true_is_no_allowed_integer() -> None:
    spec = declaration(inputs=[{"name": "x", "type": "int64", "allowed": [0, 1], "example": 1}])
    validator = RowValidator(spec)
    assert validator.read_one(b'{"x": 1}') == [[1]]
    assert problems_of(validator.read_one, b'{"x": true}')[0]["field"] == "x"


def test_long_and_nested_inputs_are_not_echoed() -> None:
    long = problems_of(iris.read_one, iris_body(sepal_width=json.dumps("x" * 1000)))[0]
    nested = problems_of(iris.read_one, iris_body(sepal_width='{"secret": 1}'))[0]
    assert "input" not in long
    assert "input" not in nested


def test_the_examples_of_every_shipped_model_are_valid() -> None:
    for validator in (iris, classifier, quality, every):
        assert validator.read_one(json.dumps(example_body(validator.spec)).encode())


IRIS_FIELDS = "'sepal_length', 'sepal_width', 'petal_length', 'petal_width'"


@pytest.mark.parametrize("body", [b"[5.1, 3.5, 1.4, 0.2]", b'"setosa"', b"3", b"null"])
def test_a_row_of_another_form_gets_the_form_that_is_expected(body: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        RowValidator(IRIS).read_one(body)
    [problem] = caught.value.problems
    assert problem["msg"] == f"The body should be an object with the fields {IRIS_FIELDS}."


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[]", 'The body should be an object with a list of rows: {"inputs": [...]}.'),
        (b'{"inputs": 3}', "`inputs` should be a list of rows."),
        (
            b'{"inputs": [[5.1, 3.5, 1.4, 0.2], 3]}',
            f"A row should be an object with the fields {IRIS_FIELDS}, or a list of their values in this "
            "order; all rows in the same form.",
        ),
    ],
)
def test_a_batch_of_another_form_gets_the_form_that_is_expected(body: bytes, expected: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        RowValidator(IRIS).read_batch(body)
    [problem] = caught.value.problems
    assert problem["msg"] == expected


def test_a_row_that_may_not_be_a_list_is_not_described_as_one() -> None:
    with pytest.raises(InvalidInputError) as caught:
        RowValidator(every_type()).read_batch(b'{"inputs": [3]}')
    assert "list of" not in str(caught.value.problems[0]["msg"])
