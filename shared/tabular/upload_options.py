"""The options of an uploaded file: query parameters, or the fields of a form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from shared.errors import InvalidInputError
from shared.input_problems import InputProblem
from shared.safe_texts import did_you_mean, named, names_in
from shared.validation_messages import of_pydantic

DEFAULT_ERROR_SHARE = 0.1
"""Default of `max_errors`: the share of a file's rows that may fail before the job fails."""

_BUDGET = re.compile(r"(?P<percent>\d{1,3}(\.\d+)?)\s*%|(?P<share>0?\.\d+|[01]\.\d+)|(?P<count>\d{1,12})")
_LISTS = ("tag", "keep_columns")


@dataclass(frozen=True)
class ErrorBudget:
    """The number of rows that may fail: a count, or a share of all rows."""

    count: int | None = None
    share: float | None = None


def error_budget(text: object) -> ErrorBudget:
    """Parses `25`, `10%` or `0.1`. Raises ValueError."""
    if isinstance(text, ErrorBudget):
        return text
    found = _BUDGET.fullmatch(str(text).strip())
    if found is None:
        raise ValueError("must be a count (25) or a share (10% or 0.1)")
    if found["count"] is not None:
        return ErrorBudget(count=int(found["count"]))
    share = float(found["percent"]) / 100 if found["percent"] else float(found["share"])
    if share > 1:
        raise ValueError("a share is at most 100%")
    return ErrorBudget(share=share)


def _one_character(text: object) -> object:
    return {"tab": "\t", "\\t": "\t"}.get(text, text) if isinstance(text, str) else text


Column = Annotated[str, Field(min_length=1, max_length=200)]
Character = Annotated[
    str, BeforeValidator(_one_character), Field(min_length=1, max_length=1, pattern=r"^[\x09\x20-\x7e]$")
]


class UploadOptions(BaseModel):
    """The parameters of a job that is submitted as a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(max_length=64, description="The model's name")
    version: str | None = Field(
        None, max_length=64, description="The model's version; default: the model's default version"
    )
    reference: str = Field("", max_length=200, description="The client's own name for the job")
    tag: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        (), max_length=20, description="A tag; repeatable"
    )
    priority: int = Field(5, ge=0, le=9, description="Weight among jobs, 0–9")
    max_errors: Annotated[ErrorBudget, BeforeValidator(error_budget)] = Field(
        ErrorBudget(share=DEFAULT_ERROR_SHARE),
        description="Rows that may fail before the job does: a count (25) or a share (10% or 0.1)",
    )
    keep_columns: tuple[Column, ...] = Field(
        (),
        max_length=50,
        description="Input columns to copy to the results: comma-separated or repeated; a name that contains "
        "a comma is in quotes",
    )
    id_column: str = Field(
        "", max_length=200, description="The column that identifies rows; copied to the results"
    )
    expires_in_s: float | None = Field(
        None, gt=0, le=366 * 86_400, description="Seconds to keep the job after it has ended"
    )
    webhook_url: str = Field("", max_length=2048, description="URL that Takt POSTs to when the job ends")
    validate_only: bool = Field(False, description="Validate every row; run nothing and create no job")
    charset: str | None = Field(
        None,
        max_length=40,
        description="Charset of CSV and NDJSON: utf-8, cp949, …; default: the Content-Type's, else utf-8",
    )
    delimiter: Character = Field(",", description="Delimiter of CSV; `tab` for a tab")
    quote: Character = Field('"', description="Quote character of CSV")
    ignore_unknown_fields: bool = Field(
        False,
        description="Ignore fields of NDJSON that are no input, as in the other formats",
    )
    decimal: Character = Field(".", pattern=r"^[.,]$", description="Decimal separator of CSV")

    @model_validator(mode="after")
    def _distinct(self) -> UploadOptions:
        if len({self.delimiter, self.quote, self.decimal}) < 3:
            raise ValueError("delimiter, quote and decimal must differ")
        return self

    @property
    def kept(self) -> tuple[str, ...]:
        """The input columns to copy to the results, the id column first."""
        return kept_columns(self.id_column, self.keep_columns)


def kept_columns(id_column: str, keep_columns: Iterable[str]) -> tuple[str, ...]:
    """Returns the input columns to copy to the results, without duplicates, the id column first."""
    return tuple(dict.fromkeys(name for name in (id_column, *keep_columns) if name))


def read_options(pairs: Iterable[tuple[str, str]]) -> UploadOptions:
    """Parses the pairs of a query or a form. Raises InvalidInputError, which names the parameter."""
    given: dict[str, Any] = {}  # Any: validated by Pydantic
    for name, value in pairs:
        if name in _LISTS:
            given[name] = [*given.get(name, ()), *_split(name, value)]
        elif name in given:
            raise _invalid([_problem(name, "is given twice")])
        else:
            given[name] = value
    try:
        return UploadOptions.model_validate(given)
    except ValidationError as error:
        raise _invalid([_problem_of(dict(found)) for found in error.errors()]) from None


def _split(name: str, value: str) -> list[str]:
    return [value] if name == "tag" else names_in(value)


def _problem_of(found: Mapping[str, Any]) -> InputProblem:
    name = str(found["loc"][0]) if found["loc"] else "parameters"
    if found["type"] == "extra_forbidden":
        return unknown_parameter(name, UploadOptions.model_fields)
    return _problem(name, of_pydantic(found["msg"], found["type"]))


def unknown_parameter(name: str, known: Iterable[str]) -> InputProblem:
    """`known`: the parameters that the call takes."""
    return _problem(name, f"Unknown parameter {named(name)}.{did_you_mean(name, known)}")


def _problem(name: str, reason: str) -> InputProblem:
    return InputProblem(row=None, field=name, loc=["query", name], msg=reason, type="invalid_parameter")


def _invalid(problems: list[InputProblem]) -> InvalidInputError:
    return InvalidInputError("The request's parameters are invalid.", problems=problems)
