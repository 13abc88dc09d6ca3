"""What can go wrong between a program and a Takt service, ordered by what the caller can do.

TaktError
├── Refused          the service read the request and says no: change it (`code`, `status`)
│   ├── Unauthorized   no API key, or one that opens nothing
│   ├── Forbidden      the key is good, but not for this
│   ├── InvalidInput   rows, fields or parameters are wrong; `problems` names each
│   ├── NotFound       no such model or job, or the job's retention is over
│   └── Conflict       the job's state, or the Idempotency-Key, stands against it
├── TryLater         the same request may succeed later (`retry_after_s`, where the service knows)
│   ├── RateLimited    the key has used up what it may for now
│   └── Unreachable    no whole answer: service down, network, a stream that broke off
│       └── TimedOut     … within the client's own limit
├── JobFailed        the job ended as failed (`job`)
│   └── JobCanceled    … or was ended by somebody
└── NotTakt          something answered that is not a Takt service
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from takt.records import Job


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a request; `row` counts from 0."""

    msg: str
    row: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        row = f"row {self.row}" if self.row is not None else ""
        where = ", ".join(filter(None, (row, self.field)))
        return f"{where}: {self.msg}" if where else self.msg


class TaktError(Exception):
    """A call did not give what it was made for."""

    def __init__(self, detail: str, *, code: str = "", status: int = 0, request_id: str = "") -> None:
        self.detail = detail
        self.code = code
        self.status = status
        self.request_id = request_id
        super().__init__(detail)


class Refused(TaktError):
    """The request cannot be served as it is."""


class InvalidInput(Refused):
    """Rows, fields or parameters are wrong."""

    problems: tuple[Problem, ...] = ()


class Unauthorized(Refused):
    """The service wants an API key that is good."""


class Forbidden(Refused):
    """The key does not reach so far."""


class NotFound(Refused):
    """There is no such model or job, or no longer."""


class Conflict(Refused):
    """The request does not go with what is there."""


class TryLater(TaktError):
    """The service cannot serve this now."""

    retry_after_s: float | None = None


class RateLimited(TryLater):
    """The key's rate or quota is used up; `retry_after_s` says until when."""


class Unreachable(TryLater):
    """Nobody answers, or not to the end."""


class TimedOut(Unreachable):
    """No answer within the client's limit."""


class JobFailed(TaktError):
    """The job ended as failed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        why = f": {job.error.detail}" if job.error else ""
        super().__init__(f"job {job.id} {job.state}{why}", code=job.error.code if job.error else job.state)


class JobCanceled(JobFailed):
    """The job was canceled."""


class NotTakt(TaktError):
    """The answer is not one that a Takt service gives."""
