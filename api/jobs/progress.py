"""How far a job is, how fast it goes, and when to ask again. Pure: times are ms of Redis' clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shared.ledger import JobRecord, JobState

SHORTEST_POLL_S, LONGEST_POLL_S = 1, 30


@dataclass(frozen=True)
class Progress:
    """What follows from a job's counts and times. None: not known."""

    percent: float | None
    rows_per_s: float | None
    eta_s: float | None  # until its last row has run


def progress_of(record: JobRecord, now_ms: int, *, model_rows_per_s: float, rows_ahead: int) -> Progress:
    """`model_rows_per_s`: of all workers that hold the model version; 0: not known.

    Once rows have run, the job's own rate says when it ends: it knows with whom it takes turns. Before, the
    rows that the fair order puts ahead of its end are counted in.
    """
    total, rate = record.rows_total, _rate(record, now_ms)
    eta_s = None
    if total is not None and record.state in (JobState.QUEUED, JobState.RUNNING):
        left = total - record.rows_done
        if rate:
            eta_s = left / rate
        elif model_rows_per_s:
            eta_s = (left + rows_ahead) / model_rows_per_s
    return Progress(_percent(record), _rounded(rate, 1), _rounded(eta_s, 1))


def _percent(record: JobRecord) -> float | None:
    if record.rows_total is None:
        return None
    if not record.rows_total:
        return 100.0
    # rounded down: 100 is said once it is so
    return math.floor(record.rows_done * 10_000 / record.rows_total) / 100


def _rate(record: JobRecord, now_ms: int) -> float | None:
    """Rows a second since the first chunk started, without pauses."""
    if record.started_at_ms is None or not record.rows_done:
        return None
    end_ms = record.finished_at_ms if record.finished_at_ms is not None else now_ms
    running_until_ms = end_ms if record.paused_at_ms is None else record.paused_at_ms
    running_ms = running_until_ms - record.started_at_ms - record.paused_ms
    return record.rows_done * 1000 / max(1, running_ms)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def poll_after_s(record: JobRecord, progress: Progress, now_ms: int) -> int | None:
    """When it pays to ask again; None: the job has ended.

    By its ETA; where that is not known, the longer a job is there the less often.
    """
    if record.state.ended:
        return None
    wait_s = progress.eta_s
    if wait_s is None:
        wait_s = (now_ms - record.created_at_ms) / 10_000
    return min(LONGEST_POLL_S, max(SHORTEST_POLL_S, math.ceil(wait_s)))
