"""What a service says, as frozen records. Times are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
"""A document of the service, or a row of a model's outputs (Any: a model's own fields)."""

ENDED = frozenset({"succeeded", "failed", "canceled"})


@dataclass(frozen=True)
class Failure:
    """Why a job failed."""

    code: str
    detail: str


@dataclass(frozen=True)
class Waiting:
    """Why none of a job's rows run now."""

    reason: str
    detail: str
    rows_ahead: int | None  # of other jobs


@dataclass(frozen=True)
class Progress:
    """How far a job was at one moment."""

    state: str
    rows_total: int | None  # None while its rows come in
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
    """A job as the service last told it; `document` is all that was told."""

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
    eta_low_s: float | None = None  # it is likely to end between this …
    eta_high_s: float | None = None  # … and this; None: too little is known, or an older service

    @property
    def took_s(self) -> float | None:
        """From the first chunk's start to the end; None before."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class RowProblem:
    """A row that does not fit the model; `row` counts from 0."""

    row: int
    reason: str


@dataclass(frozen=True)
class Report:
    """What a check of rows found; nothing was run and no job is left behind."""

    valid: bool
    rows_total: int
    rows_valid: int
    rows_invalid: int
    problems: tuple[RowProblem, ...]  # the first of them
    ignored_columns: tuple[str, ...]


@dataclass(frozen=True)
class JobPage:
    """Some of the jobs, newest first; `next` is the cursor of those that follow, None: there are no more."""

    jobs: tuple[Job, ...]
    next: str | None


@dataclass(frozen=True)
class Polled:
    """A job, and when to ask again."""

    job: Job
    retry_after_s: float | None

    @property
    def pause_s(self) -> float:
        return self.retry_after_s if self.retry_after_s is not None else 1.0


@dataclass(frozen=True)
class Health:
    """How the service does as a whole."""

    status: str
    uptime_seconds: float
    models_loaded: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A model that is served, in its default version."""

    name: str
    version: str
    versions: tuple[str, ...]
    framework: str
    description: str
    loaded: bool
