"""What a client says about an uploaded file: query parameters, or the fields of a form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from shared.errors import InvalidInput, Problem
from shared.texts import did_you_mean, named
from shared.wording import of_pydantic

DEFAULT_ERROR_SHARE = 0.1
"""Of a file's rows, so many may fail before the job does."""

_BUDGET = re.compile(r"(?P<percent>\d{1,3}(\.\d+)?)\s*%|(?P<share>0?\.\d+|[01]\.\d+)|(?P<count>\d{1,12})")
_LISTS = ("tag", "keep_columns")


@dataclass(frozen=True)
class ErrorBudget:
    """How many rows may fail: a count, or a share of all."""

    count: int | None = None
    share: float | None = None


def error_budget(text: object) -> ErrorBudget:
    """Of `25`, `10%` or `0.1`. Raises ValueError."""
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
    """The parameters of a file that is handed over as a job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(max_length=64, description="The model's name")
    version: str | None = Field(None, max_length=64, description="Its version; left out: the default")
    reference: str = Field("", max_length=200, description="The client's own name for the job")
    tag: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        (), max_length=20, description="May be given several times"
    )
    priority: int = Field(5, ge=0, le=9, description="0–9, as weight")
    max_errors: Annotated[ErrorBudget, BeforeValidator(error_budget)] = Field(
        ErrorBudget(share=DEFAULT_ERROR_SHARE),
        description="Rows that may fail before the job does: a count (25) or a share (10% or 0.1)",
    )
    keep_columns: tuple[Column, ...] = Field(
        (),
        max_length=50,
        description="Columns that come back in the result: separated by commas, or repeated",
    )
    id_column: str = Field("", max_length=200, description="The column that names a row; it comes back too")
    expires_in_s: float | None = Field(
        None, gt=0, le=366 * 86_400, description="How long the job is kept once it has ended"
    )
    webhook_url: str = Field("", max_length=2048, description="Where the job's end is told")
    validate_only: bool = Field(False, description="Check everything, run nothing, leave no job behind")
    charset: str | None = Field(
        None,
        max_length=40,
        description="Of CSV and NDJSON: utf-8 (default), cp949, …; else the Content-Type's",
    )
    delimiter: Character = Field(",", description="Of CSV; `tab` for a tab")
    quote: Character = Field('"', description="Of CSV: what encloses values")
    decimal: Character = Field(".", pattern=r"^[.,]$", description="Of CSV: what stands before decimals")

    @model_validator(mode="after")
    def _distinct(self) -> UploadOptions:
        if len({self.delimiter, self.quote, self.decimal}) < 3:
            raise ValueError("delimiter, quote and decimal must differ")
        return self

    @property
    def kept(self) -> tuple[str, ...]:
        """Every column that comes back, the id first."""
        return kept_columns(self.id_column, self.keep_columns)


def kept_columns(id_column: str, keep_columns: Iterable[str]) -> tuple[str, ...]:
    """The columns that come back, each once, the id first."""
    return tuple(dict.fromkeys(name for name in (id_column, *keep_columns) if name))


def read_options(pairs: Iterable[tuple[str, str]]) -> UploadOptions:
    """Of the pairs of a query or a form. Raises InvalidInput, naming the parameter."""
    given: dict[str, Any] = {}  # Any: what Pydantic is to judge
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
    return [value] if name == "tag" else [column.strip() for column in value.split(",") if column.strip()]


def _problem_of(found: Mapping[str, Any]) -> Problem:
    name = str(found["loc"][0]) if found["loc"] else "parameters"
    if found["type"] == "extra_forbidden":
        known = did_you_mean(name, UploadOptions.model_fields)
        return _problem(name, f"Unknown parameter {named(name)}.{known}")
    return _problem(name, of_pydantic(found["msg"], found["type"]))


def _problem(name: str, reason: str) -> Problem:
    return Problem(row=None, field=name, loc=["query", name], msg=reason, type="invalid_parameter")


def _invalid(problems: list[Problem]) -> InvalidInput:
    return InvalidInput("The request's parameters are wrong.", problems=problems)
