"""Each call of the service as a value: the request, and a decoder for the response. No I/O.

`Takt` and `AsyncTakt` send these values over HTTP.
"""

# ruff: noqa: A002 - `format` is the service's parameter name
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Generic, TypedDict, TypeVar, cast
from urllib.parse import quote
from uuid import uuid4

from takt import decoding
from takt.bodies import Body, InputRow, Rows, observed, of_document, of_image, of_rows, plain, plain_rows
from takt.decoding import Answer
from takt.formats import Format
from takt.records import Health, Job, JobPage, Json, Model, Polled, Report

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Pairs = tuple[tuple[str, str], ...]

MOST_JSON_ROWS = 10_000
"""A list of up to this many rows is sent as a single JSON document, so that invalid rows are reported at
once."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request. If it is `repeatable`, sending it twice has the same effect as sending it once."""

    method: str
    path: str
    decode: Callable[[Answer], T]
    params: Pairs = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    repeatable: bool = True


@dataclass(frozen=True)
class JobOptions:
    """The options of a job. None and empty values leave the choice to the service.

    `max_errors` is a number of rows (25) or a percentage ("10%"). A list of rows may contain no invalid row.
    """

    model: str
    version: str | None = None
    reference: str | None = None
    tags: Sequence[str] = ()
    priority: int | None = None
    max_errors: int | str | None = None
    keep_columns: Sequence[str] = ()
    id_column: str | None = None
    charset: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    decimal: str | None = None
    ignore_unknown_fields: bool = False
    expires_in_s: float | None = None
    webhook_url: str | None = None

    @property
    def of_files_only(self) -> bool:
        """Whether an option is set that a JSON document does not support."""
        return bool(self.keep_columns or self.id_column or self._of_text())

    def document(self) -> Json:
        """Returns the options as fields of a JSON document."""
        common = ("model", "version", "reference", "priority", "max_errors", "expires_in_s", "webhook_url")
        found: Json = {name: getattr(self, name) for name in common}
        return {name: value for name, value in found.items() if value is not None} | (
            {"tags": list(self.tags)} if self.tags else {}
        )

    def pairs(self) -> Pairs:
        """Returns the options as URL parameters."""
        found = self.document() | {"id_column": self.id_column} | self._of_text()
        found.pop("tags", None)
        named = tuple((name, str(value)) for name, value in found.items() if value is not None)
        tags = tuple(("tag", tag) for tag in self.tags)
        return (*named, *tags, *(("keep_columns", _quoted(column)) for column in self.keep_columns))

    def _of_text(self) -> Json:
        """Returns the options that describe a CSV or NDJSON file."""
        names = ("charset", "delimiter", "quote", "decimal")
        found = {name: value for name in names if (value := getattr(self, name)) is not None}
        return found | ({"ignore_unknown_fields": "true"} if self.ignore_unknown_fields else {})


def _quoted(column: str) -> str:
    """The name of a column as an element of a comma-separated list."""
    return '"{}"'.format(column.replace('"', '""')) if set(column) & set(',"\r\n') else column


class JobOptionsArguments(TypedDict, total=False):
    """The optional fields of `JobOptions`, as keyword arguments."""

    version: str | None
    reference: str | None
    tags: Sequence[str]
    priority: int | None
    max_errors: int | str | None
    keep_columns: Sequence[str]
    id_column: str | None
    charset: str | None
    delimiter: str | None
    quote: str | None
    decimal: str | None
    ignore_unknown_fields: bool
    expires_in_s: float | None
    webhook_url: str | None


def predict(row: InputRow, model: str | None, version: str | None) -> Call[Json]:
    """Predict a row. A row without field names is sent as a batch of 1, the bytes of an image as they
    are."""
    if isinstance(row, bytes):
        path = f"{_of_model(model, version)}/predict"
        return Call("POST", path, decoding.document, body=of_image(row))
    if not isinstance(row, Mapping):
        call = predict_batch([row], model, version)
        return Call(call.method, call.path, lambda answer: decoding.results(answer)[0], body=call.body)
    return Call("POST", f"{_of_model(model, version)}/predict", decoding.document, body=of_document(row))


def predict_batch(
    rows: Sequence[InputRow] | pd.DataFrame, model: str | None, version: str | None
) -> Call[list[Json]]:
    body = of_document({"inputs": plain_rows(rows)})
    return Call("POST", f"{_of_model(model, version)}/predict/batch", decoding.results, body=body)


def submit(
    rows: Rows,
    options: JobOptions,
    format: Format | None = None,
    idempotency_key: str | None = None,
) -> Call[Job]:
    """Submit a job. The Idempotency-Key makes the call repeatable, unless the rows are an iterator.

    Raises ValueError if the format of the rows is unknown, OSError if their file cannot be read.
    """
    params, body = _parameters_and_body(rows, options, format, {})
    key = idempotency_key or uuid4().hex
    return Call(
        "POST", "/jobs", decoding.job, params, {"idempotency-key": key}, body, repeatable=not body.once
    )


def reporting(call: Call[T], sent: Callable[[int], None]) -> Call[T]:
    """Returns the same call; `sent` is called with the number of bytes sent so far."""
    return replace(call, body=observed(call.body, sent)) if call.body else call


def check(
    rows: Rows,
    options: JobOptions,
    format: Format | None = None,
) -> Call[Report]:
    """Validate the rows of a job without running it."""
    params, body = _parameters_and_body(rows, options, format, {"validate_only": True})
    return Call("POST", "/jobs", decoding.report, params, body=body, repeatable=not body.once)


def _parameters_and_body(
    rows: Rows, options: JobOptions, format: Format | None, more: Json
) -> tuple[Pairs, Body]:
    if isinstance(rows, list | tuple) and len(rows) <= MOST_JSON_ROWS and not options.of_files_only:
        inputs = [plain(row) for row in cast("Sequence[InputRow]", rows)]
        return (), of_document(options.document() | more | {"inputs": inputs})
    extra = tuple((name, str(value).lower()) for name, value in more.items())
    return (*options.pairs(), *extra), of_rows(rows, format)


def job(job_id: str) -> Call[Job]:
    return Call("GET", _of_job(job_id), decoding.job)


def poll(job_id: str) -> Call[Polled]:
    return Call("GET", _of_job(job_id), decoding.polled)


class JobFilter(TypedDict, total=False):
    """Conditions that a job must meet. Times without a time zone are UTC."""

    state: str | None
    model: str | None
    reference: str | None
    tag: str | None
    created_after: datetime | None
    created_before: datetime | None


def jobs(filters: JobFilter, *, limit: int | None = None, cursor: str | None = None) -> Call[JobPage]:
    given = {**filters, "limit": limit, "cursor": cursor}
    return Call("GET", "/jobs", decoding.job_page, tuple(_pairs(given)))


def _pairs(given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if value is not None:
            yield name, value.isoformat() if isinstance(value, datetime) else str(value)


def act(job_id: str, action: str) -> Call[Job]:
    """`action` is cancel, pause or resume."""
    return Call("POST", f"{_of_job(job_id)}/{action}", decoding.job)


def prioritize(job_id: str, priority: int) -> Call[Job]:
    return Call("PATCH", _of_job(job_id), decoding.job, body=of_document({"priority": priority}))


def delete(job_id: str) -> Call[None]:
    return Call("DELETE", _of_job(job_id), decoding.nothing)


def events(job_id: str, after: str) -> Call[None]:
    """Stream the events of a job after the event `after`, or all events if it is empty."""
    headers = {"accept": "text/event-stream"} | ({"last-event-id": after} if after else {})
    return Call("GET", f"{_of_job(job_id)}/events", decoding.nothing, headers=headers)


def results(job_id: str, format: Format, *, partial: bool = False) -> Call[None]:
    """Stream a job's results in the order of its rows."""
    return _rows(job_id, "results", format, partial=partial)


def errors(job_id: str, format: Format) -> Call[None]:
    """Stream a job's failed rows."""
    return _rows(job_id, "errors", format, partial=False)


def _rows(job_id: str, resource: str, format: Format, *, partial: bool) -> Call[None]:
    params: Pairs = (("format", format), *((("partial", "true"),) if partial else ()))
    return Call("GET", f"{_of_job(job_id)}/{resource}", decoding.nothing, params)


def replay(job_id: str, version: str, idempotency_key: str | None) -> Call[Job]:
    """Run the rows of a job on another version. The Idempotency-Key makes the call repeatable."""
    key = {"idempotency-key": idempotency_key or uuid4().hex}
    body = of_document({"version": version})
    return Call("POST", f"{_of_job(job_id)}/replay", decoding.job, headers=key, body=body)


def retry(
    job_id: str, rows: str, version: str | None, priority: int | None, idempotency_key: str | None
) -> Call[Job]:
    """Run rows of a job again. The Idempotency-Key makes the call repeatable."""
    key = {"idempotency-key": idempotency_key or uuid4().hex}
    asked = {"rows": rows, "version": version, "priority": priority}
    body = of_document({name: value for name, value in asked.items() if value is not None})
    return Call("POST", f"{_of_job(job_id)}/retry", decoding.job, headers=key, body=body)


def difference(job_id: str, against: str, tolerance: float) -> Call[Json]:
    return Call("GET", f"{_of_job(job_id)}/difference", decoding.document, _compared(against, tolerance))


def differing_rows(job_id: str, against: str, format: Format, tolerance: float) -> Call[None]:
    """Stream the rows with different results."""
    params = (*_compared(against, tolerance), ("format", str(format)))
    return Call("GET", f"{_of_job(job_id)}/difference", decoding.nothing, params)


def _compared(against: str, tolerance: float) -> Pairs:
    return (("against", against), *((("tolerance", repr(tolerance)),) if tolerance else ()))


def manifest(job_id: str) -> Call[Json]:
    return Call("GET", f"{_of_job(job_id)}/manifest", decoding.document)


def timeline(job_id: str) -> Call[Json]:
    return Call("GET", f"{_of_job(job_id)}/timeline", decoding.document)


health: Call[Health] = Call("GET", "/health", decoding.health)
models: Call[list[Model]] = Call("GET", "/models", decoding.models)

_part = partial(quote, safe="")


def deployment(model: str) -> Call[Json]:
    return Call("GET", f"{_of_model(model, None)}/deployment", decoding.document)


def deploy(model: str, target: Json, generation: int | None) -> Call[Json]:
    """`generation`: the one that is replaced; None: the newest."""
    path, match = f"{_of_model(model, None)}/deployment", _matching(generation)
    return Call("PUT", path, decoding.document, headers=match, body=of_document(target), repeatable=False)


def publish(model: str, body: Body, version: str | None, wait_s: int) -> Call[Json]:
    """Publish a version; the answer waits this long for its verification. The same content has no further
    effect."""
    params: Pairs = (("version", version),) if version else ()
    path, headers = f"{_of_model(model, None)}/versions", {"prefer": f"wait={wait_s}"}
    return Call("POST", path, decoding.document, params, headers, body)


def versions(model: str) -> Call[Json]:
    return Call("GET", f"{_of_model(model, None)}/versions", decoding.document)


def archive(model: str, version: str) -> Call[None]:
    """Stream the files of a version as a tar archive."""
    return Call("GET", f"{_of_model(model, version)}/archive", decoding.nothing)


def verify_version(model: str, version: str) -> Call[Json]:
    return Call("POST", f"{_of_model(model, version)}/verify", decoding.document)


def delete_version(model: str, version: str) -> Call[None]:
    return Call("DELETE", _of_model(model, version), decoding.nothing, repeatable=False)


def roll_back(model: str, generation: int | None) -> Call[Json]:
    """`generation`: the one that is replaced; None: the newest."""
    path, match = f"{_of_model(model, None)}/rollback", _matching(generation)
    return Call("POST", path, decoding.document, headers=match, repeatable=False)


def _matching(generation: int | None) -> dict[str, str]:
    return {} if generation is None else {"if-match": f'"{generation}"'}


def rollouts(model: str) -> Call[Json]:
    return Call("GET", f"{_of_model(model, None)}/rollouts", decoding.document)


def roll_out(model: str, asked: Json) -> Call[Json]:
    path = f"{_of_model(model, None)}/rollouts"
    return Call("POST", path, decoding.document, body=of_document(asked), repeatable=False)


def _of_job(job_id: str) -> str:
    return f"/jobs/{_part(job_id)}"


def _of_model(model: str | None, version: str | None) -> str:
    if model is None:
        return ""
    return f"/models/{_part(model)}" + (f"/versions/{_part(version)}" if version is not None else "")
