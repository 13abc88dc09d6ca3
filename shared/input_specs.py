"""`InputSpec`: the declaration of an input in `model.toml`, an `[[inputs]]` table."""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import Field, field_serializer, model_validator

from shared.declarations import Declaration, leaves_of
from shared.field_names import FieldName, composed, decomposed
from shared.images import ImageOptions


class InputType(StrEnum):
    FLOAT = "float"  # 64 bits; null becomes NaN
    FLOAT32 = "float32"
    INT64 = "int64"
    BOOL = "bool"
    STRING = "string"
    DATETIME = "datetime"  # RFC 3339; kept as microseconds of UTC
    IMAGE = "image"  # JPEG or PNG; the worker decodes it


_PYTHON: dict[InputType, Any] = {  # Any: mypy would narrow values to `object` by a tuple of types
    InputType.FLOAT: (float, int),
    InputType.FLOAT32: (float, int),
    InputType.INT64: (int,),
    InputType.BOOL: (bool,),
    InputType.STRING: (str,),
    InputType.DATETIME: (datetime,),
    InputType.IMAGE: (bytes,),
}


ColumnName = Annotated[str, Field(min_length=1, max_length=512)]
"""The name of a column elsewhere: any text, such as a header with a line break."""


class InputSpec(Declaration):
    """One named input: a feature (no shape) or a tensor."""

    name: FieldName
    column: ColumnName | None = Field(
        None, description="name in the estimator and in files, if it differs; default: `name`"
    )
    aliases: tuple[ColumnName, ...] = Field((), max_length=32, description="further names in files and rows")
    type: InputType
    shape: tuple[Annotated[int, Field(ge=-1)], ...] = ()
    minimum: float | int | None = None
    maximum: float | int | None = None
    allowed: tuple[str | int, ...] | None = None
    max_length: int = Field(1024, gt=0, description="limit of a string in characters, of a sequence in steps")
    pad: float | int | None = Field(
        None, description="fills the shorter sequences of a call; unset: no call mixes lengths"
    )
    nullable: bool = False
    description: str = ""
    image: ImageOptions | None = None
    example: Any = None  # of the input's own type; a datetime in TOML's notation, the file name of an image

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        numeric = self.type in (InputType.FLOAT, InputType.FLOAT32, InputType.INT64)
        if not numeric and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"minimum and maximum are for numbers, not {self.type}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is greater than maximum")
        if 0 in self.shape or -1 in self.shape[1:]:
            raise ValueError("shape: lengths are positive; only the first may be -1, for a sequence")
        if self.pad is not None and not self.is_sequence:
            raise ValueError("pad: is for sequences, whose shape begins with -1")
        if self.shape and (self.nullable or not numeric):
            raise ValueError("a tensor holds numbers and is not nullable")
        if (self.type is InputType.IMAGE) != (self.image is not None):
            raise ValueError("image: type = 'image' needs this table, and no other type has it")
        if self.allowed is not None and self.type not in (InputType.STRING, InputType.INT64):
            raise ValueError("allowed values are for string and int64")
        if self.example is not None and (why := self.problem(self.example)):
            raise ValueError(f"example: {why}")
        return self

    @property
    def is_sequence(self) -> bool:
        """Whether rows have different lengths along the first axis."""
        return self.shape[:1] == (-1,)

    @property
    def size(self) -> int:
        """Number of values per row of this input; per step of a sequence."""
        return math.prod(self.shape[1:] if self.is_sequence else self.shape)

    @property
    def column_name(self) -> str:
        """The name in the estimator and in files."""
        return self.column or self.name

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of this input: its own, its column's and its aliases."""
        return tuple(dict.fromkeys((self.name, self.column_name, *self.aliases)))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Every field of a JSON row that holds this input; the first is its name."""
        forms = (form(name) for name in self.names for form in (composed, decomposed, str))
        return tuple(dict.fromkeys(forms))

    def problem(self, value: object) -> str | None:
        """Why `value` is invalid for this input, or None. Applies to examples and golden rows."""
        if value is None:
            return None if self.nullable else "is missing"
        if self.is_sequence and isinstance(value, list) and not 0 < len(value) <= self.max_length:
            return f"has {len(value)} steps; 1 to {self.max_length} are accepted"
        values = leaves_of(value, self.shape)
        if values is None:
            return f"is not of shape {list(self.shape)}"
        return next((problem for item in values if (problem := self._problem_of_value(item))), None)

    def _problem_of_value(self, value: Any) -> str | None:  # Any: compared once its type is known
        is_bool = self.type is InputType.BOOL
        if not isinstance(value, _PYTHON[self.type]) or isinstance(value, bool) != is_bool:
            return f"{_shown(value)} is not {self.type}"
        if self.allowed is not None and value not in self.allowed:
            return f"{value!r} is not one of the allowed values"
        if self.minimum is not None and value < self.minimum:
            return f"{value!r} is less than {self.minimum}"
        if self.maximum is not None and value > self.maximum:
            return f"{value!r} is greater than {self.maximum}"
        if isinstance(value, str) and len(value) > self.max_length:
            return f"has more than {self.max_length} characters"
        return self.image.problem(value) if self.image else None

    @field_serializer("example", when_used="json")
    def _example_in_json(self, example: Any) -> Any:
        """An image is left out: it is a file of the model's folder."""
        return None if isinstance(example, bytes) else example


def _shown(value: object) -> str:
    return f"a file of {len(value)} bytes" if isinstance(value, bytes) else repr(value)
