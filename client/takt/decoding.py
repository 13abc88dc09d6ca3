"""Decoding of responses to records or errors. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from takt.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    NotTakt,
    Problem,
    RateLimited,
    Refused,
    TaktError,
    TryLater,
    Unauthorized,
)
from takt.records import (
    Failure,
    Health,
    Job,
    JobPage,
    Json,
    Model,
    Polled,
    Progress,
    Report,
    RowProblem,
    Waiting,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


T = TypeVar("T")

_TRANSIENT = {408, 429, 503, 504}
_REFUSALS = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    422: InvalidInput,
}


@dataclass(frozen=True)
class Answer:
    """A complete response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str = ""


def document(answer: Answer) -> Json:
    """Raises NotTakt if the response is not a JSON object."""
    try:
        found: object = json.loads(answer.content)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    raise NotTakt(f"{answer.url} answered {answer.status}, but is not a Takt service", status=answer.status)


def nothing(_: Answer) -> None:
    """Decodes a response without content."""


def results(answer: Answer) -> list[Json]:
    return _as(lambda found: list(found["results"]), document(answer), "results")


def job(answer: Answer) -> Job:
    return job_of(document(answer))


def polled(answer: Answer) -> Polled:
    return Polled(job(answer), retry_after_s(answer.headers))


def report(answer: Answer) -> Report:
    def of(found: Json) -> Report:
        return Report(
            **{name: found[name] for name in ("valid", "rows_total", "rows_valid", "rows_invalid")},
            problems=tuple(
                RowProblem(each["row"], each["reason"], each.get("line")) for each in found["problems"]
            ),
            ignored_columns=tuple(found["ignored_columns"]),
        )

    return _as(of, document(answer), "report on rows")


def job_page(answer: Answer) -> JobPage:
    def page(found: Json) -> JobPage:
        return JobPage(tuple(map(job_of, found["jobs"])), found["next"])

    return _as(page, document(answer), "page of jobs")


def health(answer: Answer) -> Health:
    def of(found: Json) -> Health:
        return Health(found["status"], found["uptime_seconds"], tuple(found["models_loaded"]))

    return _as(of, document(answer), "health")


def models(answer: Answer) -> list[Model]:
    names = ("name", "version", "framework", "description", "loaded")

    def of(found: Json) -> list[Model]:
        return [
            Model(versions=tuple(each["versions"]), **{name: each[name] for name in names})
            for each in found["models"]
        ]

    return _as(of, document(answer), "list of models")


def job_of(found: Json) -> Job:
    """Raises NotTakt if the document is not a job."""
    return _as(_job, found, "job")


def progress_of(found: Json) -> Progress:
    """Returns a Job if the document is a complete job. Raises NotTakt if it is not a job's progress."""
    if "id" in found:
        return job_of(found)
    return _as(lambda document: Progress(**_counts(document)), found, "job's progress")


def _job(found: Json) -> Job:
    as_they_are = ("id", "model", "version", "digest", "reference", "priority")
    outlook = ("percent", "rows_per_s", "eta_s", "position")
    times = ("created_at", "started_at", "finished_at", "expires_at")
    error, waiting = found["error"], found["waiting"]
    moments: Json = {name: _time(found[name]) for name in times}
    return Job(
        **_counts(found),
        **{name: found[name] for name in (*as_they_are, *outlook)},
        **moments,
        eta_low_s=found.get("eta_low_s"),
        owner=found.get("owner", ""),
        replay_of=found.get("replay_of"),
        retry_of=found.get("retry_of"),
        eta_high_s=found.get("eta_high_s"),
        waiting=Waiting(waiting["reason"], waiting["detail"], waiting["rows_ahead"]) if waiting else None,
        tags=tuple(found["tags"]),
        error=Failure(error["code"], error["detail"]) if error else None,
        links=dict(found["links"]),
        document=found,
    )


def _counts(found: Json) -> Json:
    return {name: found[name] for name in ("state", "rows_total", "rows_succeeded", "rows_failed")}


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _as(decode: Callable[[Json], T], found: Json, kind: str) -> T:
    try:
        return decode(found)
    except (KeyError, TypeError, ValueError) as error:
        raise NotTakt(f"the response is not a {kind}: {error!r}") from error


def error_of(answer: Answer) -> TaktError:
    """Returns the service's error document as an exception."""
    try:
        found = document(answer)
        code, detail = str(found["error"]), found["detail"]
    except (NotTakt, KeyError):
        return _foreign(answer)
    error = _kind(answer)(
        _words(detail), code=code, status=answer.status, request_id=str(found.get("request_id", ""))
    )
    if isinstance(error, TryLater):
        error.retry_after_s = retry_after_s(answer.headers)
    if isinstance(error, InvalidInput) and isinstance(detail, list):
        error.problems = tuple(map(_problem, detail))
    return error


def _kind(answer: Answer) -> type[TaktError]:
    # a 409 with Retry-After is temporary: results are not ready, or an upload with this key is in progress
    if answer.status == 429:
        return RateLimited
    if answer.status in _TRANSIENT or (answer.status == 409 and "retry-after" in answer.headers):
        return TryLater
    return _REFUSALS.get(answer.status, Refused)


def _foreign(answer: Answer) -> TaktError:
    """Returns an error for a response of a proxy without a gateway, or of another service."""
    words = f"{answer.url} answered {answer.status}, but is not a Takt service"
    if answer.status not in (502, *_TRANSIENT):
        return NotTakt(words, status=answer.status)
    error = TryLater(words, status=answer.status)
    error.retry_after_s = retry_after_s(answer.headers)
    return error


def _words(detail: object) -> str:
    return "; ".join(str(_problem(each)) for each in detail) if isinstance(detail, list) else str(detail)


def _problem(found: Any) -> Problem:  # Any: an entry of a validation error
    if not isinstance(found, dict):
        return Problem(str(found))
    return Problem(str(found.get("msg", found)), found.get("row"), found.get("field"))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds of Retry-After; None if it is missing or a date."""
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def table_of(path: Path) -> pa.Table:
    """Returns the table of an Arrow stream, mapped into memory."""
    import pyarrow

    with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as reader:
        return reader.read_all()


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Returns a DataFrame. Integers and bools with missing values have pandas' nullable dtypes, such as
    Int64: as floats, integers beyond 2^53 would be rounded."""
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    for field, column in zip(table.schema, table.columns, strict=True):
        if column.null_count and (dtype := _nullable_dtype(field.type)):
            frame[field.name] = frame[field.name].astype(dtype)
    return frame


def _nullable_dtype(kind: pa.DataType) -> str | None:
    import pyarrow

    if pyarrow.types.is_boolean(kind):
        return "boolean"
    if not pyarrow.types.is_integer(kind):
        return None
    return f"{'U' if pyarrow.types.is_unsigned_integer(kind) else ''}Int{kind.bit_width}"
