"""JSON → validated rows, by what a model's spec declares. One pass in Rust parses and validates.

A row is an object by field name, or, where the spec is positional, a list in the order of the spec's inputs
(of the one tensor's values where that is the only input). A nullable field may be null or absent; any other
field must be there, and no unknown one may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired, TypeAlias, cast

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from shared.errors import InvalidInput, Problem
from shared.specs import InputSpec, InputType, ModelSpec

Declared: TypeAlias = Any
"""A type made at run time of a spec; no checker can know it."""
Values: TypeAlias = list[list[Any]]
"""One list of values per input, in the order of the spec's inputs (Any: the spec says which)."""

Loc: TypeAlias = list[int | str]
"""Where in a body something is wrong, as Pydantic says it."""
Place: TypeAlias = tuple[int | None, str | None]
"""Row and field; None where the body as a whole is wrong."""

_FORMS = ("lists", "objects")
_INT64 = 2**63
_FLOAT32_MOST = 3.4028234663852886e38
_MOST_PROBLEMS = 100
_LONGEST_ECHO = 80


class RowValidator:
    """Reads the bodies of one model's `/predict`, `/predict/batch`, and the rows of its jobs."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._names = spec.input_names
        self.one: TypeAdapter[dict[str, Any]] = TypeAdapter(_row_object(spec))
        self.rows: TypeAdapter[list[Any]] = TypeAdapter(_rows(spec))
        self.batch: TypeAdapter[dict[str, list[Any]]] = TypeAdapter(_batch(spec))

    def read_one(self, body: bytes) -> Values:
        """The one row of a `/predict` body. Raises InvalidInput."""
        try:
            row = self.one.validate_json(body)
        except ValidationError as error:
            raise _invalid(error, lambda path: self._place(0, path)) from None
        return [[row[name]] for name in self._names]

    def read_batch(self, body: bytes) -> Values:
        """The rows of a `/predict/batch` body, `{"inputs": [...]}`. Raises InvalidInput."""
        try:
            rows = self.batch.validate_json(body)["inputs"]
        except ValidationError as error:
            raise _invalid(error, self._place_in_batch) from None
        return self._by_input(rows)

    def read_rows(self, array: bytes, first_row: int) -> Values:
        """The rows of a JSON array that is a part of a job, from row `first_row` on. Raises InvalidInput."""
        try:
            rows = self.rows.validate_json(array)
        except ValidationError as error:
            raise _invalid(error, lambda path: self._place_in_rows(path, first_row)) from None
        return self._by_input(rows)

    def _by_input(self, rows: list[Any]) -> Values:
        if isinstance(rows[0], dict):
            return [[row[name] for row in rows] for name in self._names]
        if len(self._names) == 1:
            return [rows] if self.spec.inputs[0].shape else [[row[0] for row in rows]]
        return [list(column) for column in zip(*rows, strict=True)]

    def _place_in_batch(self, path: Loc) -> Place:
        if path[:1] == ["inputs"] and len(path) > 1:
            return self._place_in_rows(path[1:], 0)
        return None, str(path[0]) if path else None

    def _place_in_rows(self, path: Loc, first_row: int) -> Place:
        return self._place(first_row + int(path[0]), path[1:]) if path else (None, None)

    def _place(self, row: int, path: Loc) -> Place:
        """Row and field of what is wrong inside one row, an object or a list."""
        if len(self._names) == 1 and (not path or isinstance(path[0], int)):
            return row, self._names[0]
        if not path:
            return row, None
        step = path[0]
        known = isinstance(step, int) and step < len(self._names)
        return row, self._names[step] if known else str(step)  # type: ignore[index]  # known: an int


# What a spec's inputs are as types


def _batch(spec: ModelSpec) -> Declared:
    most = spec.limits.max_rows_per_request
    inputs = Annotated[_rows(spec), Field(min_length=1, max_length=most, description=f"1 to {most} rows")]
    batch = TypedDict(f"{_title(spec)}Batch", {"inputs": inputs})  # type: ignore[misc]
    return _closed(batch)


def _rows(spec: ModelSpec) -> Declared:
    """A list of rows, all objects or, where the spec is positional, all lists."""
    objects = list[_row_object(spec)]  # type: ignore[misc]
    if not spec.positional:
        return objects
    lists = list[_row_list(spec)]  # type: ignore[misc]
    return Annotated[
        Annotated[lists, Tag("lists")] | Annotated[objects, Tag("objects")], Discriminator(_row_form)
    ]


def _row_form(rows: object) -> str:
    is_objects = isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict)
    return "objects" if is_objects else "lists"


def _row_object(spec: ModelSpec) -> Declared:
    fields = {field.name: _member(field) for field in spec.inputs}
    return _closed(TypedDict(f"{_title(spec)}Input", fields))  # type: ignore[misc]


def _row_list(spec: ModelSpec) -> Declared:
    if len(spec.inputs) == 1 and spec.inputs[0].shape:
        return _value(spec.inputs[0])
    return tuple[tuple(_value(field) for field in spec.inputs)]  # type: ignore[misc]


def _closed(declared: Declared) -> Declared:
    declared.__pydantic_config__ = {"extra": "forbid"}
    return declared


def _member(field: InputSpec) -> Declared:
    about = {"description": field.description or None, "examples": _examples(field)}
    if field.nullable:
        return NotRequired[Annotated[_value(field), Field(default=None, **about)]]
    return Annotated[_value(field), Field(**about)]


def _examples(field: InputSpec) -> list[Any] | None:
    if field.example is None:
        return None
    return [field.example.isoformat() if isinstance(field.example, datetime) else field.example]


def _value(field: InputSpec) -> Declared:
    single = _tensor(field) if field.shape else _scalar(field)
    return single | None if field.nullable else single


def _tensor(field: InputSpec) -> Declared:
    nested = _scalar(field)
    for length in reversed(field.shape):
        nested = Annotated[list[nested], Field(min_length=length, max_length=length)]
    return nested


def _scalar(field: InputSpec) -> Declared:
    match field.type:
        case InputType.FLOAT:
            return Annotated[float, _range(field), Field(strict=True, allow_inf_nan=False)]
        case InputType.FLOAT32:
            bounds = Field(strict=True, allow_inf_nan=False, ge=-_FLOAT32_MOST, le=_FLOAT32_MOST)
            return Annotated[float, bounds, _range(field)]
        case InputType.INT64 if field.allowed is not None:
            return Annotated[_one_of(field.allowed), BeforeValidator(_no_bool)]
        case InputType.INT64:
            bounds = Field(strict=True, ge=-_INT64, le=_INT64 - 1)
            return Annotated[int, bounds, _range(field)]
        case InputType.BOOL:
            return Annotated[bool, Field(strict=True)]
        case InputType.DATETIME:
            return Annotated[datetime, BeforeValidator(_rfc3339)]
        case InputType.STRING if field.allowed is not None:
            return _one_of(field.allowed)
        case InputType.STRING:
            return Annotated[str, Field(strict=True, max_length=field.max_length)]


def _range(field: InputSpec) -> Any:
    return Field(ge=field.minimum, le=field.maximum)


def _one_of(allowed: tuple[str | int, ...]) -> Declared:
    return Literal[allowed]  # Literal[("a", "b")] is Literal["a", "b"]


def _no_bool(value: object) -> object:
    if isinstance(value, bool):  # equal to 0 and 1 in Python, not in JSON
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


def _rfc3339(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("datetime_type", "Input should be an RFC 3339 date and time")
    if value[10:11] not in ("T", "t", " "):  # Pydantic alone would take a bare date, and seconds since 1970
        raise PydanticCustomError("datetime_parsing", "Input should be an RFC 3339 date and time")
    return value


def _title(spec: ModelSpec) -> str:
    return spec.name.replace("_", " ").replace("-", " ").title().replace(" ", "")


# What is wrong, by row and field


def _invalid(error: ValidationError, place: Callable[[Loc], Place]) -> InvalidInput:
    details = error.errors(include_url=False, include_context=False)
    problems = [_problem(detail, place) for detail in details[:_MOST_PROBLEMS]]
    return InvalidInput(f"{len(details)} problem(s) in the input.", problems=problems)


def _problem(detail: ErrorDetails, place: Callable[[Loc], Place]) -> Problem:
    path = [part for part in detail["loc"] if part not in _FORMS]
    row, field = place(path) if detail["type"] != "json_invalid" else (None, None)
    problem = Problem(row=row, field=field, loc=path, msg=detail["msg"], type=detail["type"])
    if _may_be_shown(detail["input"]):
        problem["input"] = detail["input"]
    return problem


def _may_be_shown(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_ECHO
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool) or (isinstance(value, int) and abs(value) < 10**30) or value is None


def example_body(spec: ModelSpec) -> dict[str, Any]:
    """A valid row as JSON has it."""
    row = spec.example_row()
    return {n: cast(datetime, v).isoformat() if isinstance(v, datetime) else v for n, v in row.items()}
