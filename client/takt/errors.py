"""What can go wrong between a program and a Takt service, ordered by what the caller can do.

TaktError
├── Refused        the service read the request and says no: change it (`code`, `status`)
├── TryLater       the same request may succeed later (`retry_after_s`, where the service knows)
│   └── Unreachable  no answer at all: wrong URL, service down, network
├── JobFailed      the job ended, but not well
└── NotTakt        something answered that is not a Takt service
"""

from __future__ import annotations


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


class TryLater(TaktError):
    """The service cannot serve this now."""

    retry_after_s: float | None = None


class Unreachable(TryLater):
    """Nobody answers."""


class JobFailed(TaktError):
    """The job ended as failed or canceled."""


class NotTakt(TaktError):
    """The answer is not one that a Takt service gives."""
