"""Why a job waits: decided from its record, its model version's workers, and the line that it stands in.

The line is the ledger's fair order: the job with the fewest rows served, over its weight, goes next.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from api.fleet.snapshot import Staffing
from shared.ledger import JobRecord, JobState, Line, Standing

MANY_RESTARTS = 2


class Reason(StrEnum):
    PAUSED = "paused"  # its owner paused it
    NO_WORKER = "no_worker"  # no live worker holds its model version, nor is about to
    WORKERS_LOADING = "workers_loading"  # a worker loads it
    WORKERS_FAILING = "workers_failing"  # workers cannot load it, or end before they have
    OTHER_ARTIFACT = "other_artifact"  # live workers hold its model version, but another artifact of it
    BEHIND = "behind"  # other jobs of the model version go first


@dataclass(frozen=True)
class Wait:
    reason: Reason
    detail: str


def position(line: Line, job_id: str) -> int | None:
    """The job's place in the line, from 1; None where it does not stand there."""
    ids = [standing.job_id for standing in line.jobs]
    return ids.index(job_id) + 1 if job_id in ids else None


def rows_ahead(line: Line, job_id: str) -> int | None:
    """Rows of other jobs that run before this one has ended, as things stand; None where it is not in line.

    When this job's last row runs, it has been served `served + rows_left / weight`. Until then every other
    job is served up to the same mark, or until it has no rows left.
    """
    own = next((standing for standing in line.jobs if standing.job_id == job_id), None)
    if own is None:
        return None
    mark = own.served + own.rows_left / own.weight
    return sum(_until(mark, other) for other in line.jobs if other is not own)


def _until(mark: float, other: Standing) -> int:
    return min(other.rows_left, max(0, round((mark - other.served) * other.weight)))


def wait_of(record: JobRecord, staffing: Staffing, ahead: int | None) -> Wait | None:
    """Why none of the job's rows run now; None where they do, or where nothing holds them up."""
    if record.state is JobState.PAUSED:
        return Wait(Reason.PAUSED, "The job is paused; resume it and it goes on.")
    if record.state.ended or record.state is JobState.CANCELING or _nothing_to_run(record):
        return None
    if not staffing.holders:
        return _without_workers(record, staffing)
    if staffing.digests.isdisjoint({record.digest, ""}):
        return Wait(Reason.OTHER_ARTIFACT, _other_artifact(record, staffing))
    if ahead and not record.chunks_leased:
        return Wait(Reason.BEHIND, f"Other jobs of {record.key} take turns with it: {ahead} rows.")
    return None


def _nothing_to_run(record: JobRecord) -> bool:
    """Whether an upload has not brought a row yet that could run."""
    return record.state is JobState.UPLOADING and record.rows_accepted == record.rows_done


def _other_artifact(record: JobRecord, staffing: Staffing) -> str:
    held = ", ".join(sorted(digest[:12] for digest in staffing.digests))
    return (
        f"The job was submitted for the artifact {record.digest[:12]}… of {record.key}, and its live workers "
        f"hold {held}…: load that one again, or cancel the job and submit it anew."
    )


def _without_workers(record: JobRecord, staffing: Staffing) -> Wait:
    if staffing.failures:
        return Wait(Reason.WORKERS_FAILING, f"Workers cannot load {record.key}: {staffing.failures[0]}")
    if staffing.restarts >= MANY_RESTARTS:
        detail = f"A worker started {staffing.restarts + 1} times within a minute and serves nothing."
        return Wait(Reason.WORKERS_FAILING, detail)
    if staffing.loading:
        return Wait(Reason.WORKERS_LOADING, f"{staffing.loading} worker(s) load {record.key}.")
    return Wait(Reason.NO_WORKER, f"No live worker holds {record.key}.")
