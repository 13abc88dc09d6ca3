"""The JSON bodies of `/invocations`, with exactly one of four forms of the rows.

    {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}   rows as lists
    {"dataframe_records": [{"a": 1, "b": 2}]}                        rows as objects
    {"instances": [[1, 2]]}  or  [{"a": 1, "b": 2}]                  rows, as TensorFlow Serving has them
    {"inputs": [[1, 2]]}     or  {"a": [1], "b": [2]}                rows, or columns

Columns are matched as in files (`shared/tabular/column_matching.py`); further columns and `params` are
ignored, as by MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.columns import nested
from shared.errors import InvalidInputError
from shared.input_problems import InputProblem
from shared.input_specs import InputSpec
from shared.safe_texts import listed
from shared.specs import ModelSpec
from shared.tabular.column_matching import match_columns
from shared.tabular.json_bodies import decoded

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def read_json_frame(spec: ModelSpec, body: bytes) -> dict[int, list[Any]]:
    """The values of each input in all rows, by the input's place; not validated. Raises InvalidInputError."""
    document = decoded(body)
    forms = [form for form in FORMS if isinstance(document, dict) and form in document]
    if len(forms) != 1:
        raise InvalidInputError(f"The body must be an object with exactly one of: {listed(FORMS)}.")
    (form,) = forms
    values = _values(spec, form, document[form])
    if not values or not values[0]:
        raise InvalidInputError(f"`{form}` has no rows.")
    return values


def _values(spec: ModelSpec, form: str, data: Any) -> dict[int, list[Any]]:
    match form, data:
        case "dataframe_split", {"data": [*rows], **rest}:
            return _of_split(spec, rows, rest.get("columns"))
        case "inputs", dict():
            return _of_columns(spec, _equal_in_length(data))
        case (("dataframe_records" | "instances" | "inputs"), [dict(), *_]):
            return _of_columns(spec, _columns_of_records(data, form))
        case (("instances" | "inputs"), [*rows]):
            return _of_rows(spec, rows, form)
    raise InvalidInputError(f"`{form}` does not have the form of MLflow's scoring protocol.")


def _of_split(spec: ModelSpec, rows: Sequence[Any], columns: Any) -> dict[int, list[Any]]:
    if columns is None:
        return _of_rows(spec, rows, "data")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise InvalidInputError("`columns` of `dataframe_split` must be a list of names.")
    _require_width(rows, len(columns), "data")
    by_column = zip(*rows, strict=True) if rows else [()] * len(columns)
    return _of_columns(spec, dict(zip(columns, map(list, by_column), strict=True)))


def _columns_of_records(records: Sequence[Any], form: str) -> dict[str, list[Any]]:
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise _problem(row, f"`{form}` mixes objects with other values.")
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _equal_in_length(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    if not all(isinstance(values, list) for values in columns.values()):
        raise InvalidInputError("`inputs` as an object must have a list of values for each column.")
    if len({len(values) for values in columns.values()}) > 1:
        raise InvalidInputError("The columns of `inputs` differ in length.")
    return dict(columns)


def _of_columns(spec: ModelSpec, columns: Mapping[str, list[Any]]) -> dict[int, list[Any]]:
    """The inputs of named columns; nullable inputs without a column are null."""
    if not columns:
        return {}
    rows = len(next(iter(columns.values())))
    absent = [field for field in spec.inputs if field.nullable and not _has_column(field, columns)]
    whole = {**columns, **{field.column_name: [None] * rows for field in absent}}
    layout = match_columns(spec, list(whole), (), text=False)
    return {
        place: _input(field, [whole[name] for name in names])
        for place, (field, names) in _paired(spec, layout.inputs)
    }


def _paired(
    spec: ModelSpec, names: Sequence[tuple[str, ...]]
) -> list[tuple[int, tuple[InputSpec, tuple[str, ...]]]]:
    return list(enumerate(zip(spec.inputs, names, strict=True)))


def _has_column(field: InputSpec, columns: Mapping[str, object]) -> bool:
    return any(key in columns for key in field.keys)


def _input(field: InputSpec, columns: Sequence[list[Any]]) -> list[Any]:
    """The values of an input: its column, or for a tensor a column for each value."""
    if len(columns) == 1 and (not field.shape or field.is_sequence or field.size > 1):
        return columns[0]
    return [nested(list(row), field.shape)[0] for row in zip(*columns, strict=True)]


def _of_rows(spec: ModelSpec, rows: Sequence[Any], form: str) -> dict[int, list[Any]]:
    """The inputs of rows without names, in the order of the spec."""
    if len(spec.inputs) == 1:
        field = spec.inputs[0]
        is_scalar = not field.shape
        return {0: [row[0] if is_scalar and isinstance(row, list) and len(row) == 1 else row for row in rows]}
    _require_width(rows, len(spec.inputs), form)
    return {place: list(column) for place, column in enumerate(zip(*rows, strict=True))}


def _require_width(rows: Sequence[Any], width: int, form: str) -> None:
    for row, values in enumerate(rows):
        if not isinstance(values, list) or len(values) != width:
            raise _problem(row, f"A row of `{form}` must be a list of {width} values.")


def _problem(row: int, reason: str) -> InvalidInputError:
    problem = InputProblem(row=row, field=None, loc=[row], msg=reason, type="invalid_row")
    return InvalidInputError(reason, problems=[problem])
