"""`OutputSpec`: the declaration of an output in `model.toml`, an `[[outputs]]` table.

An output is a view of an answer of the model. Most models give a single answer, which every output shows.
`from`, `method` and `column` select among several.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from shared.declarations import Declaration, leaves_of
from shared.field_names import FieldName


class View(StrEnum):
    """How an output is derived from a model's answer."""

    LABEL = "label"  # name of the predicted class
    CLASS_INDEX = "class_index"  # index of the predicted class
    CONFIDENCE = "confidence"  # probability of the predicted class
    PROBABILITIES = "probabilities"  # of every class, in the order of `classes`
    VALUE = "value"  # one value per row, such as the number of a regression
    TENSOR = "tensor"  # values of a shape per row


CLASS_VIEWS = frozenset({View.LABEL, View.CLASS_INDEX, View.CONFIDENCE, View.PROBABILITIES})


class OutputType(StrEnum):
    """The type of an output's values, in JSON, messages, Arrow and every format of results."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    INT64 = "int64"
    BOOL = "bool"
    STRING = "string"

    @property
    def is_float(self) -> bool:
        return self in (OutputType.FLOAT64, OutputType.FLOAT32)


_PYTHON: dict[OutputType, Any] = {  # Any: mypy would narrow values to `object` by a tuple of types
    OutputType.FLOAT64: (float, int),
    OutputType.FLOAT32: (float, int),
    OutputType.INT64: int,
    OutputType.BOOL: bool,
    OutputType.STRING: str,
}
_TYPES_OF_VIEWS = {View.LABEL: OutputType.STRING, View.CLASS_INDEX: OutputType.INT64}
_CHANGES_THE_ESTIMATOR = ("fit", "partial_fit", "set_")


_PLAIN = (None, OutputType.FLOAT64)


def _text_of_number(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


class OutputSpec(Declaration):
    """A named field of a result: a view of an answer of the model."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: FieldName
    view: View
    source: Annotated[str, BeforeValidator(_text_of_number)] = Field(
        "",
        alias="from",
        description="the model's answer by name, or by index in a tuple; default: the answer of this name, "
        "else the only answer",
    )
    method: str = Field(
        "", pattern=r"^([A-Za-z]\w*)?$", description="of the estimator; default: its prediction"
    )
    column: int | None = Field(None, ge=0, description="index of a column of an answer with several")
    type: OutputType | None = Field(None, description="of a value or tensor; default: float64")
    nullable: bool = Field(False, description="whether NaN and None of a value or tensor are null, no error")
    round: int | None = Field(None, ge=0, le=15, description="decimals; unset: no rounding")
    shape: tuple[Annotated[int, Field(gt=0)], ...] = ()
    classes: tuple[str, ...] = Field((), description="of this output; default: the model's")
    description: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.shows_classes and (self.type or self.nullable or self.method):
            raise ValueError("type, nullable and method are for value and tensor views")
        if self.classes and not self.shows_classes:
            raise ValueError(f"classes are for class views, not {self.view}")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a class occurs twice")
        if self.source and self.method:
            raise ValueError("from and method both select an answer; set only one of them")
        if self.method.startswith(_CHANGES_THE_ESTIMATOR):
            raise ValueError(f"method: {self.method} changes the estimator")
        return self

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.round is not None and self.view in _TYPES_OF_VIEWS:
            raise ValueError(f"{self.view} is not rounded")
        if self.round is not None and not self.value_type.is_float:
            raise ValueError(f"{self.value_type} is not rounded")
        if bool(self.shape) != (self.view is View.TENSOR):
            raise ValueError("shape is for a tensor view, and a tensor view needs a shape")
        return self

    @property
    def shows_classes(self) -> bool:
        return self.view in CLASS_VIEWS

    @property
    def selects(self) -> bool:
        """Whether it selects among several answers."""
        return bool(self.source or self.method) or self.column is not None

    @property
    def value_type(self) -> OutputType:
        """The type of its values, declared or by its view."""
        return _TYPES_OF_VIEWS.get(self.view) or self.type or OutputType.FLOAT64

    def problem(self, value: object) -> str | None:
        """Why `value` cannot be an answer of a value or tensor view, or None. Applies to golden rows, in
        which NaN is null."""
        if self.shows_classes:
            return None
        values = leaves_of(value, self.shape)
        if values is None:
            return f"is not of shape {list(self.shape)}"
        return next((problem for item in values if (problem := self._problem_of_value(item))), None)

    def _problem_of_value(self, value: object) -> str | None:
        if isinstance(value, float) and math.isnan(value):
            return None if self.nullable else "is NaN, and the output is not nullable"
        is_bool = self.value_type is OutputType.BOOL
        if not isinstance(value, _PYTHON[self.value_type]) or isinstance(value, bool) != is_bool:
            return f"{value!r} is not {self.value_type}"
        return None


def shows_one_answer(outputs: Sequence[OutputSpec]) -> bool:
    """Whether all outputs show a single array of float64: class probabilities, or numbers of one shape."""
    classes = {output.shows_classes for output in outputs}
    shapes = {output.shape for output in outputs if not output.shows_classes}
    plain = not any(o.selects or o.nullable or o.classes or o.type not in _PLAIN for o in outputs)
    return plain and len(classes) == 1 and len(shapes) <= 1


def shows_classes_by_column(outputs: Sequence[OutputSpec]) -> bool:
    """Whether the model predicts several classes per row, one in each column."""
    return any(output.shows_classes and output.column is not None for output in outputs)
