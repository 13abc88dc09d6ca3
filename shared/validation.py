"""JSON to validated rows, by a model's spec. A single pass in Rust parses and validates.

A row is an object by field name or, if the spec is positional, a list in the order of the spec's inputs (the
values of the tensor, if that is the only input). Nullable fields may be null or absent; all other fields are
required, and unknown fields are forbidden. An input is accepted under each of its names (`InputSpec.keys`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from shared import input_types
from shared.errors import InvalidInputError
from shared.input_problems import MOST_PROBLEMS, InputProblem
from shared.input_specs import InputType
from shared.safe_texts import first_of, named
from shared.specs import ModelSpec, Row
from shared.validation_messages import of_pydantic

Values: TypeAlias = list[list[Any]]
"""A list of values per input, in the order of the spec's inputs (Any: the spec declares the types)."""
Loc: TypeAlias = list[int | str]
"""Path of a problem within a body, as in Pydantic's errors."""
Place: TypeAlias = tuple[int | None, str | None]
"""Row and field of a problem; None if the body as a whole is invalid."""

_LONGEST_ECHO = 80
_WRONG_FORMS = frozenset(("dict_type", "list_type", "tuple_type"))
_BATCH = 'an object with a list of rows: {"inputs": [...]}'


class RowValidator:
    """Reads the bodies of a model's `/predict` and `/predict/batch`, and the rows of its jobs."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._names = spec.input_names
        self._field_of_key = {key: field.name for field in spec.inputs for key in field.keys}
        self.one: TypeAdapter[dict[str, Any]] = TypeAdapter(input_types.row_object(spec))
        self.rows: TypeAdapter[list[Any]] = TypeAdapter(input_types.rows(spec))
        self.batch: TypeAdapter[dict[str, list[Any]]] = TypeAdapter(input_types.batch(spec))

    def read_one(self, body: bytes) -> Values:
        """The row of a `/predict` body. Raises InvalidInputError."""
        try:
            row = self.one.validate_json(body)
        except ValidationError as error:
            raise self._invalid_row(error) from None
        return [[row[name]] for name in self._names]

    def read_parts(self, row: Row) -> Values:
        """The row of a `/predict` form: images as bytes, other values as in JSON.

        Raises InvalidInputError.
        """
        try:
            valid = self.one.validate_python(row)
        except ValidationError as error:
            raise self._invalid_row(error) from None
        return [[valid[name]] for name in self._names]

    def _invalid_row(self, error: ValidationError) -> InvalidInputError:
        return self._invalid(error, lambda path: self._place(0, path), body=self._object)

    def read_batch(self, body: bytes) -> Values:
        """The rows of a `/predict/batch` body, `{"inputs": [...]}`. Raises InvalidInputError."""
        try:
            rows = self.batch.validate_json(body)["inputs"]
        except ValidationError as error:
            raise self._invalid(error, self._place_in_batch) from None
        return self._by_input(rows)

    def read_rows(self, array: bytes, first_row: int) -> Values:
        """The rows of a JSON array that is part of a job and begins with row `first_row`. Raises
        InvalidInputError."""
        try:
            rows = self.rows.validate_json(array)
        except ValidationError as error:
            raise self._invalid(error, self._place_in_batch, first_row) from None
        return self._by_input(rows)

    @cached_property
    def columns(self) -> ColumnValidator:
        """The validator of values that are grouped by input. Made at its first use."""
        return ColumnValidator(self.spec)

    @cached_property
    def _object(self) -> str:
        """A row as an object, in words."""
        return f"an object with the {'field' if len(self._names) == 1 else 'fields'} {first_of(self._names)}"

    @property
    def _row(self) -> str:
        """A row of a list, in words."""
        if not self.spec.positional:
            return self._object
        values = "its values" if len(self._names) == 1 else "their values in this order"
        return f"{self._object}, or a list of {values}; all rows in the same form"

    def _by_input(self, rows: list[Any]) -> Values:
        if isinstance(rows[0], dict):
            return [[row[name] for row in rows] for name in self._names]
        if len(self._names) == 1:
            return [rows] if self.spec.inputs[0].shape else [[row[0] for row in rows]]
        return [list(column) for column in zip(*rows, strict=True)]

    def _place_in_batch(self, path: Loc) -> Place:
        if path[:1] == ["inputs"] and len(path) > 1:
            return self._place(int(path[1]), path[2:])
        return None, str(path[0]) if path else None

    def _place(self, row: int, path: Loc) -> Place:
        """Row and field of a problem within a row, an object or a list."""
        if len(self._names) == 1 and (not path or isinstance(path[0], int)):
            return row, self._names[0]
        if not path:
            return row, None
        step = path[0]
        if isinstance(step, int) and step < len(self._names):
            return row, self._names[step]
        return row, self._field_of_key.get(str(step), str(step))

    def _invalid(
        self,
        error: ValidationError,
        place: Callable[[Loc], Place],
        first_row: int | None = None,
        *,
        body: str = _BATCH,
    ) -> InvalidInputError:
        """`first_row`: of a part of a job; its paths count from its own first row. `body`: the form of the
        whole body, in words."""
        details = error.errors(include_url=False, include_context=False)
        problems = [_problem(detail, place, first_row, self._names) for detail in details[:MOST_PROBLEMS]]
        for problem in problems:
            if problem["type"] in _WRONG_FORMS and (expected := self._expected(problem["loc"], body)):
                problem["msg"] = expected
        return _invalid(problems, len(details))

    def _expected(self, path: object, body: str) -> str | None:
        """What a body, list or row of another form should be; None: the path is within a row."""
        match path:
            case []:
                return f"The body should be {body}."
            case ["inputs"]:
                return "`inputs` should be a list of rows."
            case ["inputs", int()]:
                return f"A row should be {self._row}."
        return None


class ColumnValidator:
    """Validates the values of a model's inputs, one list per input, for formats that send columns.

    These come from numpy and pandas: NaN is null in a nullable input, and 2.0 is the whole number 2.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._names = spec.input_names
        self._fields = spec.inputs
        self._adapters: list[TypeAdapter[list[Any]]] = [
            TypeAdapter(input_types.column(field)) for field in spec.inputs
        ]

    def __call__(self, values: Mapping[int, list[Any]]) -> dict[int, list[Any]]:
        """The validated values, by the place of their input in the spec. Raises InvalidInputError."""
        valid: dict[int, list[Any]] = {}
        problems: list[InputProblem] = []
        count = 0
        for index, column in values.items():
            try:
                valid[index] = self._adapters[index].validate_python(self._plain(index, column))
            except ValidationError as error:
                details = error.errors(include_url=False, include_context=False)
                count += len(details)
                left = MOST_PROBLEMS - len(problems)
                problems += [self._problem(index, detail) for detail in details[:left]]
        if count:
            raise _invalid(problems, count)
        return valid

    def _plain(self, index: int, column: list[Any]) -> list[Any]:
        field = self._fields[index]
        if field.nullable:
            column = [None if isinstance(value, float) and math.isnan(value) else value for value in column]
        return [_whole(value) for value in column] if field.type is InputType.INT64 else column

    def _problem(self, index: int, detail: ErrorDetails) -> InputProblem:
        name = self._names[index]
        return _problem(detail, lambda path: (int(path[0]), name), None, self._names)


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _invalid(problems: list[InputProblem], count: int) -> InvalidInputError:
    """`count`: the number of problems, of which some may not be listed."""
    more = count - len(problems)
    return InvalidInputError(f"{count} problem(s) in the input.", problems=problems, more_problems=more)


def _problem(
    detail: ErrorDetails, place: Callable[[Loc], Place], first_row: int | None, known: Sequence[str]
) -> InputProblem:
    path = [part for part in detail["loc"] if part not in (input_types.LISTS, input_types.OBJECTS)]
    if first_row is not None and path:
        path = ["inputs", first_row + int(path[0]), *path[1:]]
    row, field = place(path) if detail["type"] != "json_invalid" else (None, None)
    message = of_pydantic(detail["msg"], detail["type"], field, known)
    if detail["type"] == "extra_forbidden" and field in known:
        message = f"Input {named(field)} is given twice: {named(path[-1])} is another name of it."
    problem = InputProblem(row=row, field=field, loc=path, msg=message, type=detail["type"])
    if _may_be_shown(detail["input"]):
        problem["input"] = detail["input"]
    return problem


def _may_be_shown(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_ECHO
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool) or (isinstance(value, int) and abs(value) < 10**30) or value is None


def example_body(spec: ModelSpec) -> dict[str, object]:
    """A valid row as JSON values."""
    return {name: input_types.json_example(value) for name, value in spec.example_row().items()}
