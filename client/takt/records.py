"""The service's responses as frozen records. Times are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
"""A JSON document of the service, or a row of a model's outputs (Any: the model's fields)."""

ENDED = frozenset({"succeeded", "failed", "canceled"})


@dataclass(frozen=True)
class Failure:
    """Why a job failed."""

    code: str
    detail: str


@dataclass(frozen=True)
class Waiting:
    """Why no row of a job is running."""

    reason: str
    detail: str
    rows_ahead: int | None  # of other jobs


@dataclass(frozen=True)
class Progress:
    """The progress of a job at a moment."""

    state: str
    rows_total: int | None  # None during the upload
    rows_succeeded: int
    rows_failed: int

    @property
    def rows_done(self) -> int:
        return self.rows_succeeded + self.rows_failed

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True)
class Job(Progress):
    """A job; `document` is the service's complete JSON document."""

    id: str
    model: str
    version: str
    digest: str
    reference: str
    tags: tuple[str, ...]
    priority: int
    percent: float | None
    rows_per_s: float | None  # since its first chunk started
    eta_s: float | None
    position: int | None  # in the fair order, from 1
    waiting: Waiting | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    error: Failure | None
    links: Mapping[str, str]
    document: Json = field(repr=False, compare=False)
    eta_low_s: float | None = None  # lower bound of the likely remaining time
    owner: str = ""  # the name of the key that submitted it; empty: an older service
    replay_of: str | None = None  # the job that has the same rows
    retry_of: str | None = None  # the job of which it has rows
    eta_high_s: float | None = None  # upper bound; None: not enough data, or an older service

    @property
    def took_s(self) -> float | None:
        """Seconds from the start of the first chunk to the end; None before the end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class RowProblem:
    """An invalid row; `row` counts from 0.

    `line` is the line of a CSV or NDJSON file in which the row begins, from 1; None for other formats.
    """

    row: int
    reason: str
    line: int | None = None


@dataclass(frozen=True)
class Report:
    """The result of validating rows."""

    valid: bool
    rows_total: int
    rows_valid: int
    rows_invalid: int
    problems: tuple[RowProblem, ...]  # the first invalid rows
    ignored_columns: tuple[str, ...]


@dataclass(frozen=True)
class JobPage:
    """A page of jobs, newest first; `next` is the cursor of the next page, None on the last page."""

    jobs: tuple[Job, ...]
    next: str | None


@dataclass(frozen=True)
class Polled:
    """A job, and the time until the next poll."""

    job: Job
    retry_after_s: float | None

    @property
    def pause_s(self) -> float:
        return self.retry_after_s if self.retry_after_s is not None else 1.0


@dataclass(frozen=True)
class Health:
    """The health of the service."""

    status: str
    uptime_seconds: float
    models_loaded: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A served model in its default version."""

    name: str
    version: str
    versions: tuple[str, ...]
    framework: str
    description: str
    loaded: bool
