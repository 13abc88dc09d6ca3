"""Progress, rate, ETA and poll interval of a job. Pure: times are in ms by Redis' clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shared.ledger import JobRecord, JobState

SHORTEST_POLL_S, LONGEST_POLL_S = 1, 30


@dataclass(frozen=True)
class JobProgress:
    """Figures derived from a job's counts and times. None: unknown."""

    percent: float | None
    rows_per_s: float | None
    eta_s: float | None  # until its last row has run
    eta_low_s: float | None = None  # rows differ in cost: the likely range of the end
    eta_high_s: float | None = None


def progress_of(record: JobRecord, now_ms: int, *, model_rows_per_s: float, rows_ahead: int) -> JobProgress:
    """`model_rows_per_s`: of all workers that hold the model version; 0: unknown.

    Once rows have run, the ETA follows from the job's own rate, which includes the effect of competing jobs.
    Before, it follows from the model's rate and includes the rows ahead of the job's end in the fair order.
    """
    total, rate = record.rows_total, _rate(record, now_ms)
    by_job_s, by_model_s = None, None
    if total is not None and record.state in (JobState.QUEUED, JobState.RUNNING):
        left = total - record.rows_done
        by_job_s = left / rate if rate else None
        by_model_s = (left + rows_ahead) / model_rows_per_s if model_rows_per_s else None
    low_s, high_s = likely_range_s(by_job_s, by_model_s, record.chunks_ended)
    return JobProgress(
        _percent(record),
        _rounded(rate, 1),
        _rounded(by_job_s if by_job_s is not None else by_model_s, 1),
        _rounded(low_s, 1),
        _rounded(high_s, 1),
    )


def likely_range_s(
    by_job_s: float | None, by_model_s: float | None, chunks_ended: int
) -> tuple[float | None, float | None]:
    """The likely range of the ETA, by two measurements: the job's own rate since it began, and the current
    rate of its model. If rows differ in cost, these differ too.

    Each is widened by the error of the mean of the ended chunks: a factor of 2 after the first chunk, 1.1
    after a hundred. (None, None): a measurement is unknown, or no chunk has ended.
    """
    if by_job_s is None or by_model_s is None or not chunks_ended:
        return None, None
    factor = 1 + 1 / math.sqrt(chunks_ended)
    return min(by_job_s, by_model_s) / factor, max(by_job_s, by_model_s) * factor


def _percent(record: JobRecord) -> float | None:
    if record.rows_total is None:
        return None
    if not record.rows_total:
        return 100.0
    # rounded down: 100 only if all rows have run
    return math.floor(record.rows_done * 10_000 / record.rows_total) / 100


def _rate(record: JobRecord, now_ms: int) -> float | None:
    """Rows per second since the first chunk started, without pauses."""
    if record.started_at_ms is None or not record.rows_done:
        return None
    end_ms = record.finished_at_ms if record.finished_at_ms is not None else now_ms
    running_until_ms = end_ms if record.paused_at_ms is None else record.paused_at_ms
    running_ms = running_until_ms - record.started_at_ms - record.paused_ms
    return record.rows_done * 1000 / max(1, running_ms)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def poll_after_s(record: JobRecord, progress: JobProgress, now_ms: int) -> int | None:
    """Seconds until the next poll; None if the job has ended.

    The ETA; if that is unknown, a tenth of the job's age. Limited to 1 to 30 s.
    """
    if record.state.ended:
        return None
    wait_s = progress.eta_s
    if wait_s is None:
        wait_s = (now_ms - record.created_at_ms) / 10_000
    return min(LONGEST_POLL_S, max(SHORTEST_POLL_S, math.ceil(wait_s)))
