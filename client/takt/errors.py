"""The errors of the SDK, grouped by the caller's options.

TaktError
├── Refused          the service rejected the request; change it (`code`, `status`)
│   ├── Unauthorized   the API key is missing or invalid
│   ├── Forbidden      the API key does not permit this
│   ├── InvalidInput   rows, fields or parameters are invalid; `problems` lists them
│   ├── NotFound       the model or job does not exist, or the job has expired
│   └── Conflict       the job's state or the Idempotency-Key does not allow this
├── TryLater         the same request may succeed later (`retry_after_s`, if known)
│   ├── RateLimited    the key's rate limit or quota is used up
│   └── Unreachable    no complete response: service down, network error, broken stream
│       └── TimedOut     no response within the client's timeout
├── JobFailed        the job failed (`job`)
│   └── JobCanceled    the job was canceled
└── NotTakt          the response did not come from a Takt service
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from takt.records import Job


@dataclass(frozen=True)
class Problem:
    """A problem of a request; `row` counts from 0."""

    msg: str
    row: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        row = f"row {self.row}" if self.row is not None else ""
        location = ", ".join(filter(None, (row, self.field)))
        return f"{location}: {self.msg}" if location else self.msg


class TaktError(Exception):
    """The base of all errors of the SDK."""

    def __init__(self, detail: str, *, code: str = "", status: int = 0, request_id: str = "") -> None:
        self.detail = detail
        self.code = code
        self.status = status
        self.request_id = request_id
        super().__init__(detail)


class Refused(TaktError):
    """The service rejected the request."""


class InvalidInput(Refused):
    """Rows, fields or parameters are invalid."""

    problems: tuple[Problem, ...] = ()


class Unauthorized(Refused):
    """The API key is missing or invalid."""


class Forbidden(Refused):
    """The API key does not permit this call."""


class NotFound(Refused):
    """The model or job does not exist, or has expired."""


class Conflict(Refused):
    """The request conflicts with the state of a job or of an Idempotency-Key."""


class TryLater(TaktError):
    """The service cannot answer now; the same request may succeed later."""

    retry_after_s: float | None = None


class RateLimited(TryLater):
    """The key's rate limit or quota is used up; retry after `retry_after_s`."""


class Unreachable(TryLater):
    """The service did not send a complete response."""


class TimedOut(Unreachable):
    """The service did not respond within the client's timeout."""


class JobFailed(TaktError):
    """The job failed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        why = f": {job.error.detail}" if job.error else ""
        super().__init__(f"job {job.id} {job.state}{why}", code=job.error.code if job.error else job.state)


class JobCanceled(JobFailed):
    """The job was canceled."""


class NotTakt(TaktError):
    """The response did not come from a Takt service."""


_NO_JOB = ("job_not_found", "job_expired")


def ended_well(job: Job) -> Job:
    """Returns a job that succeeded. Raises JobCanceled or JobFailed otherwise."""
    if job.state == "canceled":
        raise JobCanceled(job)
    if job.state != "succeeded":
        raise JobFailed(job)
    return job


def is_about_events(error: Refused | NotTakt) -> bool:
    """Returns True if only the event stream is unavailable, as behind some proxies; else raises the error."""
    if isinstance(error, NotTakt) or (error.status in (404, 405, 406) and error.code not in _NO_JOB):
        return True
    raise error
