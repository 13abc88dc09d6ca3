"""A spec's inputs as types: Pydantic validates JSON against them and describes them in OpenAPI.

The types are created at run time from a ModelSpec; a type checker sees them as `Declared`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from types import GenericAlias
from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import AliasChoices, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from shared.images import DESCRIPTION, MEDIA_TYPES, SMALLEST_PNG, ImageOptions, from_base64
from shared.input_specs import InputSpec, InputType
from shared.specs import ModelSpec

Declared: TypeAlias = Any
"""A type created at run time, unknown to a type checker."""

LISTS, OBJECTS = "\x1flists", "\x1fobjects"  # no field's name contains a control character
"""The two forms of rows; Pydantic adds these tags to the paths of its errors."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INT64 = 2**63
_FLOAT32_MOST = 3.4028234663852886e38
_make_typed_dict: Callable[[str, dict[str, Declared]], Declared] = TypedDict  # type: ignore[assignment]


def row_object(spec: ModelSpec) -> Declared:
    """A row as an object with the fields of the spec; nullable fields are optional, others are forbidden."""
    fields = {field.name: _member(field) for field in spec.inputs}
    return _closed(f"{title(spec)}Input", fields)


def row_list(spec: ModelSpec) -> Declared:
    """A row of a positional spec as a list: the inputs in order, or the values of the only tensor."""
    if len(spec.inputs) == 1 and spec.inputs[0].shape:
        return _value(spec.inputs[0])
    return GenericAlias(tuple, tuple(_value(field) for field in spec.inputs))


def rows(spec: ModelSpec, most: int | None = None) -> Declared:
    """A list of at most `most` rows: all objects or, if the spec is positional, all lists."""
    length = Field(min_length=1, max_length=most)
    objects = _annotated(GenericAlias(list, row_object(spec)), length)
    if not spec.positional:
        return objects
    lists = _annotated(GenericAlias(list, row_list(spec)), length)
    forms = _annotated(lists, Tag(LISTS)) | _annotated(objects, Tag(OBJECTS))
    return _annotated(forms, Discriminator(_form))


def column(field: InputSpec) -> Declared:
    """The values of one input in all rows."""
    return GenericAlias(list, _value(field))


def batch(spec: ModelSpec) -> Declared:
    """The body of `/predict/batch`."""
    most = spec.limits.max_rows_per_request
    about = Field(description=f"1 to {most} rows")
    return _closed(f"{title(spec)}Batch", {"inputs": _annotated(rows(spec, most), about)})


def title(spec: ModelSpec) -> str:
    """The model's name as the first part of a type's name."""
    return "".join(part.capitalize() for part in spec.name.replace("-", "_").split("_"))


def json_example(value: object) -> object:
    """An example of a spec as a JSON value; of an image, the smallest."""
    if isinstance(value, bytes):
        return SMALLEST_PNG
    return value.isoformat() if isinstance(value, datetime) else value


def _form(inputs: object) -> str:
    is_objects = isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], dict)
    return OBJECTS if is_objects else LISTS


def _closed(name: str, fields: dict[str, Declared]) -> Declared:
    declared = _make_typed_dict(name, fields)
    declared.__pydantic_config__ = {"extra": "forbid"}
    return declared


def _annotated(declared: Declared, *metadata: object) -> Declared:
    return Annotated[(declared, *metadata)]  # Annotated[(a, b)] is Annotated[a, b]


def _member(field: InputSpec) -> Declared:
    examples = None if field.example is None else [json_example(field.example)]
    about = [Field(description=field.description or None, examples=examples), *_named(field)]
    if not field.nullable:
        return _annotated(_value(field), *about)
    optional: Declared = NotRequired
    return optional[_annotated(_value(field), Field(default=None), *about)]


def _named(field: InputSpec) -> list[Declared]:
    """What Pydantic does not derive from the name: further names, and the title of a name that is a text."""
    further = [] if len(field.keys) == 1 else [Field(validation_alias=AliasChoices(*field.keys))]
    return further if _IDENTIFIER.fullmatch(field.name) else [*further, Field(title=field.name)]


def _value(field: InputSpec) -> Declared:
    single = _tensor(field) if field.shape else _scalar(field)
    return single | None if field.nullable else single


def _tensor(field: InputSpec) -> Declared:
    nested = _scalar(field)
    for length in reversed(field.shape):
        bounds = (1, field.max_length) if length == -1 else (length, length)
        nested = _annotated(GenericAlias(list, nested), Field(min_length=bounds[0], max_length=bounds[1]))
    return nested


def _scalar(field: InputSpec) -> Declared:
    match field.type:
        case InputType.BOOL:
            return Annotated[bool, Field(strict=True)]
        case InputType.DATETIME:
            return Annotated[datetime, BeforeValidator(_rfc3339)]
        case InputType.IMAGE if field.image is not None:
            return _image(field.image)
        case InputType.STRING if field.allowed is None:
            return Annotated[str, Field(strict=True, max_length=field.max_length)]
        case InputType.STRING:
            return _one_of(field.allowed)
        case _:
            return _number(field)


def _image(options: ImageOptions) -> Declared:
    def read(value: object) -> bytes:
        data = from_base64(value) if isinstance(value, str) else value
        if not isinstance(data, bytes):
            raise PydanticCustomError("image_type", f"Input should be {DESCRIPTION}")
        if problem := options.problem(data):
            raise PydanticCustomError("image_invalid", f"Image {problem}")
        return data

    schema = {"type": "string", "contentEncoding": "base64", "contentMediaType": ", ".join(MEDIA_TYPES)}
    return Annotated[bytes, BeforeValidator(read), WithJsonSchema(schema)]


def _number(field: InputSpec) -> Declared:
    if field.allowed is not None:
        return _annotated(_one_of(field.allowed), BeforeValidator(_no_bool))
    within = Field(ge=field.minimum, le=field.maximum)
    if field.type is InputType.INT64:
        return Annotated[int, Field(strict=True, ge=-_INT64, le=_INT64 - 1), within]
    finite = Field(strict=True, allow_inf_nan=False)
    if field.type is InputType.FLOAT:
        return Annotated[float, finite, within]
    return Annotated[float, finite, Field(ge=-_FLOAT32_MOST, le=_FLOAT32_MOST), within]


def _one_of(allowed: tuple[str | int, ...] | None) -> Declared:
    literal: Declared = Literal
    return literal[allowed]  # Literal[("a", "b")] is Literal["a", "b"]


def _no_bool(value: object) -> object:
    if isinstance(value, bool):  # equal to 0 and 1 in Python, not in JSON
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


def _rfc3339(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("datetime_type", "Input should be an RFC 3339 date and time")
    if value[10:11] not in ("T", "t", " "):  # Pydantic also accepts a bare date, and seconds since 1970
        raise PydanticCustomError("datetime_parsing", "Input should be an RFC 3339 date and time")
    return value
