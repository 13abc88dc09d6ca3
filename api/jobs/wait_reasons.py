"""Why a job waits, and its position: from its record, its model version's workers, and its queue.

The queue has the ledger's fair order: next is the owner with the fewest served rows in proportion to its
weight, and of its jobs the job with the fewest, by the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from api.fleet.snapshot import ModelAvailability
from shared.integrity import short
from shared.keys import split_model_key
from shared.ledger import JobRecord, JobState, OwnerStanding, QueueOrder, QueuePosition
from shared.model_identity import SAME_ON_BOTH

MANY_RESTARTS = 2


class Reason(StrEnum):
    PAUSED = "paused"  # its owner paused it
    NO_WORKER = "no_worker"  # no live worker holds or loads its model version
    WORKERS_LOADING = "workers_loading"  # a worker loads its model version
    WORKERS_DRAINED = "workers_drained"  # the workers that hold it are drained or stopping
    WORKERS_FAILING = "workers_failing"  # workers cannot load it, or exit before they have
    OTHER_ARTIFACT = "other_artifact"  # live workers hold another artifact of its model version
    OTHER_SPEC = "other_spec"  # live workers loaded its model version with another spec
    AT_LIMIT = "at_limit"  # its owner's running rows have reached `max_running_rows`
    BEHIND = "behind"  # other jobs of the model version go first


@dataclass(frozen=True)
class Wait:
    reason: Reason
    detail: str


def position(order: QueueOrder, job_id: str) -> int | None:
    """The job's position, from 1: the number of jobs served earlier, plus 1. None if it is not queued."""
    places = {job.job_id: place for place, job in enumerate(_in_order(order), 1)}
    return places.get(job_id)


def _in_order(order: QueueOrder) -> list[QueuePosition]:
    """Jobs by the owner's tag at which their next chunk is due: an owner's first job is due at the owner's
    current tag, and each further job after a chunk of every job before it."""
    due: list[tuple[float, str, float, str, QueuePosition]] = []
    for owner, jobs in _by_owner(order).items():
        tag = owner.served
        for job in jobs:
            due.append((tag, owner.owner, job.served, job.job_id, job))
            tag += job.chunk_rows / owner.weight
    return [entry[-1] for entry in sorted(due, key=lambda entry: entry[:-1])]


def _by_owner(order: QueueOrder) -> dict[OwnerStanding, list[QueuePosition]]:
    """Each owner's jobs, least served first."""
    owners = {owner.owner: owner for owner in order.owners}
    found: dict[OwnerStanding, list[QueuePosition]] = {}
    for job in sorted(order.jobs, key=lambda job: (job.served, job.job_id)):
        found.setdefault(owners.get(job.owner, OwnerStanding(owner=job.owner)), []).append(job)
    return found


def rows_ahead(order: QueueOrder, job_id: str) -> int | None:
    """Rows of other jobs that run before this job ends, if no jobs are added. None if it is not queued.

    When this job's last row runs, its mark is `served + rows_left / weight`. By then, every other job of its
    owner has been served up to the same mark, or has no rows left. These rows also move the owner's mark, and
    every other owner has been served up to that mark, or has no rows left.
    """
    owners = _by_owner(order)
    for owner, jobs in owners.items():
        own = next((job for job in jobs if job.job_id == job_id), None)
        if own is not None:
            mark = own.served + own.rows_left / own.weight
            rows = sum(_until(mark, job) for job in jobs if job is not own)
            owner_mark = owner.served + (rows + own.rows_left) / owner.weight
            others = (_owner_until(owner_mark, *other) for other in owners.items() if other[0] is not owner)
            return rows + sum(others)
    return None


def _until(mark: float, other: QueuePosition) -> int:
    return min(other.rows_left, max(0, round((mark - other.served) * other.weight)))


def _owner_until(mark: float, other: OwnerStanding, jobs: list[QueuePosition]) -> int:
    rows_left = sum(job.rows_left for job in jobs)
    return min(rows_left, max(0, round((mark - other.served) * other.weight)))


def is_at_limit(order: QueueOrder, owner: str) -> bool:
    """Whether the owner's running rows have reached its limit."""
    return any(found.at_limit for found in order.owners if found.owner == owner)


def wait_of(
    record: JobRecord, availability: ModelAvailability, ahead: int | None, *, at_limit: bool = False
) -> Wait | None:
    """Why none of the job's rows run now; None if some run, or if nothing delays them."""
    if record.state is JobState.PAUSED:
        return Wait(Reason.PAUSED, "The job is paused. Resume it to continue.")
    if record.state.ended or record.state is JobState.CANCELING or _nothing_to_run(record):
        return None
    if not availability.holders:
        return _without_workers(record, availability)
    if other := _other_model(record, availability):
        return other
    return None if record.chunks_leased else _behind_others(record, ahead, at_limit=at_limit)


def _behind_others(record: JobRecord, ahead: int | None, *, at_limit: bool) -> Wait | None:
    if at_limit:
        return Wait(
            Reason.AT_LIMIT, "The running rows of your jobs have reached your API key's max_running_rows."
        )
    if ahead:
        return Wait(Reason.BEHIND, f"Other jobs of {record.key} run in turn with it: {ahead} rows.")
    return None


def _nothing_to_run(record: JobRecord) -> bool:
    """Whether an upload has no further row yet that could run."""
    return record.state is JobState.UPLOADING and record.rows_accepted == record.rows_done


def _other_model(record: JobRecord, availability: ModelAvailability) -> Wait | None:
    """Why no live worker with the model version takes the job; None if a worker does."""
    if availability.digests.isdisjoint({record.digest, ""}):
        return Wait(Reason.OTHER_ARTIFACT, _other_artifact(record, availability))
    if record.spec_digest and availability.spec_digests.isdisjoint({record.spec_digest, ""}):
        return Wait(Reason.OTHER_SPEC, _other_spec(record, availability))
    return None


def _other_artifact(record: JobRecord, availability: ModelAvailability) -> str:
    held = ", ".join(sorted(digest[:12] for digest in availability.digests))
    return (
        f"The job was submitted for the artifact {record.digest[:12]}… of {record.key}, but its live workers "
        f"hold {held}…. Load the job's artifact again, or cancel the job and submit it again."
    )


def _other_spec(record: JobRecord, availability: ModelAvailability) -> str:
    held = ", ".join(sorted(map(short, availability.spec_digests)))
    return (
        f"The job was submitted for the spec {short(record.spec_digest)} of {record.key}, but its live "
        f"workers have {held}. {SAME_ON_BOTH} Cancel jobs of the old spec and submit them again."
    )


def _without_workers(record: JobRecord, availability: ModelAvailability) -> Wait:
    if availability.refusal:
        return Wait(Reason.WORKERS_FAILING, f"Workers cannot load it now: {availability.refusal}")
    if availability.failures:
        return Wait(Reason.WORKERS_FAILING, f"Workers cannot load {record.key}: {availability.failure}")
    if availability.restarts >= MANY_RESTARTS:
        detail = f"A worker started {availability.restarts + 1} times within a minute and serves nothing."
        return Wait(Reason.WORKERS_FAILING, detail)
    if availability.loading:
        return Wait(Reason.WORKERS_LOADING, f"{availability.loading} worker(s) are loading {record.key}.")
    if availability.on_demand:
        return Wait(Reason.WORKERS_LOADING, f"A worker is about to load {record.key} on demand.")
    return _not_served(record, availability)


def _not_served(record: JobRecord, availability: ModelAvailability) -> Wait:
    if availability.drained:
        detail = f"{availability.drained} worker(s) that hold {record.key} are drained or stopping."
        return Wait(Reason.WORKERS_DRAINED, detail)
    model, version = split_model_key(record.key)
    return Wait(
        Reason.NO_WORKER,
        f"No live worker holds {record.key}. To load it without requests: takt deploy {model} {version} "
        "--canary 0. If TAKT_MODELS of the workers names versions, add the version there.",
    )
