"""How every Redis key of Takt is spelled. No other module spells one.

All keys begin with `takt:` and carry the schema version, so that a deployment can move to another layout
while the old one drains. Streams and queues carry the model version: a gateway resolves the default version
when it admits a request, and a worker consumes exactly what it has loaded.
"""

from __future__ import annotations

from typing import NewType

SCHEMA = 1
PREFIX = f"takt:{SCHEMA}"

WORKER_GROUP = "workers"
"""The consumer group of every online stream."""

_OFFLINE = "offline."

ModelKey = NewType("ModelKey", str)
"""`{model}@{version}`: names what is served, everywhere outside HTTP paths."""


def model_key(model: str, version: str) -> ModelKey:
    return ModelKey(f"{model}@{version}")


def split_model_key(key: str) -> tuple[str, str]:
    model, _, version = key.partition("@")
    return model, version


def online(key: ModelKey) -> str:
    """Stream: the entries that wait on the online lane of one model version."""
    return f"{PREFIX}:online:{key}"


def reply(gateway: str) -> str:
    """Stream: answers for one life of one gateway (`{name}:{boot}`)."""
    return f"{PREFIX}:reply:{gateway}"


def job(job_id: str) -> str:
    """Hash: the job record."""
    return f"{PREFIX}:job:{job_id}"


def job_chunks(job_id: str) -> str:
    """Hash: chunk index → the chunk's state, as JSON."""
    return f"{PREFIX}:job:{job_id}:chunks"


def job_ready(job_id: str) -> str:
    """Sorted set: indexes of the chunks that may be claimed."""
    return f"{PREFIX}:job:{job_id}:ready"


def job_events(job_id: str) -> str:
    """Stream: the job's progress, for those who watch."""
    return f"{PREFIX}:job:{job_id}:events"


def job_webhook(job_id: str) -> str:
    """Stream: the attempts to deliver the job's webhook."""
    return f"{PREFIX}:job:{job_id}:webhook"


def job_inline(job_id: str) -> str:
    """Hash: `rows` and `result` of a small job of one chunk, which lie in no payload store."""
    return f"{PREFIX}:job:{job_id}:inline"


def active(key: ModelKey) -> str:
    """Sorted set: jobs of a model version with ready chunks, by their tag: rows served over weight."""
    return f"{PREFIX}:active:{key}"


def owners(key: ModelKey) -> str:
    """Sorted set: owners with jobs in `active` of a model version, by their tag: rows served over weight."""
    return f"{PREFIX}:owners:{key}"


def owner_active(key: ModelKey, owner: str) -> str:
    """Sorted set: one owner's part of `active`, with the same tags."""
    return f"{active(key)}:{owner}"


def placed(key: ModelKey) -> str:
    """Hash: job id → owner, of the jobs of a model version that stand in an `owner_active`."""
    return f"{PREFIX}:placed:{key}"


def fair_times(key: ModelKey) -> str:
    """Hash: the owners' clock and tags in one model version, and the clock of each owner's jobs."""
    return f"{PREFIX}:fair-times:{key}"


def running(owner: str) -> str:
    """Hash with a TTL: `{job}:{chunk}:{token}` → rows, of the chunks of an owner with `max_running_rows`."""
    return f"{PREFIX}:running:{owner}"


def open_jobs(owner: str) -> str:
    """Sorted set: one owner's jobs that have not ended, by creation time."""
    return f"{PREFIX}:open-jobs:{owner}"


def clocks() -> str:
    """Hash: model version → the tag of its last claim, at which jobs enter `active`."""
    return f"{PREFIX}:clocks"


def leases() -> str:
    """Sorted set: `{job}:{chunk}:{token}` by lease expiry, in ms of Redis TIME."""
    return f"{PREFIX}:leases"


def jobs() -> str:
    """Sorted set: all jobs by creation time, in ms of Redis TIME."""
    return f"{PREFIX}:jobs"


def owner_jobs(owner: str) -> str:
    """Sorted set: one owner's jobs by creation time."""
    return f"{PREFIX}:jobs:{owner}"


def expiring() -> str:
    """Sorted set: ended jobs by the end of their retention, in ms of Redis TIME, until their data is gone."""
    return f"{PREFIX}:expiring"


def webhooks() -> str:
    """Sorted set: ended jobs whose webhook is not delivered yet, by when it is due, in ms of Redis TIME."""
    return f"{PREFIX}:webhooks"


def idempotency(name: str) -> str:
    """Hash with a TTL: which job an owner's Idempotency-Key stands for, and the digest of its body."""
    return f"{PREFIX}:idempotency:{name}"


def workers() -> str:
    """Sorted set: worker ids by their last heartbeat, in ms of Redis TIME."""
    return f"{PREFIX}:workers"


def worker(worker_id: str) -> str:
    """Hash with a TTL: a worker's heartbeat. Gone means dead."""
    return f"{PREFIX}:worker:{worker_id}"


def drain(worker_id: str) -> str:
    """String with a TTL: this worker takes no work. It keeps the order while it lives."""
    return f"{PREFIX}:drain:{worker_id}"


def access_keys() -> str:
    """Hash: API key id → the key's record, as JSON, without its secret."""
    return f"{PREFIX}:access:keys"


def access_shares() -> str:
    """Hash: owner → weight and limits, as JSON, see `shared.access.Share`."""
    return f"{PREFIX}:access:shares"


def access_version() -> str:
    """String: counts the changes of `access_keys` and `access_shares`: gateways read those only after one."""
    return f"{PREFIX}:access:version"


def access_used() -> str:
    """Hash: API key id → when it was last used, about, in ms of Redis TIME."""
    return f"{PREFIX}:access:used"


def history(slot_s: int) -> str:
    """Hash with a TTL: what all processes did within a slot of time, by its start in s of Redis TIME."""
    return f"{PREFIX}:history:{slot_s}"


def limits() -> str:
    """Prefix of strings with a TTL: what API keys have used up, as the library `limits` spells the rest."""
    return f"{PREFIX}:limits"


def born() -> str:
    """String: when this ledger was first seen, in ms of Redis TIME."""
    return f"{PREFIX}:born"


def reconciler_lock() -> str:
    """String with a TTL: which worker reconciles now."""
    return f"{PREFIX}:reconciler"


def scrubber_lock() -> str:
    """String with a TTL: which worker checks stored objects now."""
    return f"{PREFIX}:scrubber"


def scrub_progress() -> str:
    """String: how far the check of stored objects is, as JSON, see `worker/chunks/scrubber.py`."""
    return f"{PREFIX}:scrub-progress"


def dead_letters() -> str:
    """Stream: what could not be read, with the reason, see `shared/dead_letters.py`."""
    return f"{PREFIX}:dead-letters"


def dead_letter_mark(place: str) -> str:
    """String with a TTL: what lay at this place was set aside already."""
    return f"{PREFIX}:dead-letter:{place}"


def offline_queue(key: ModelKey) -> str:
    """Celery queue (a list): doorbells of one model version."""
    return f"{_OFFLINE}{key}"


def model_key_of_queue(queue: str) -> ModelKey:
    """Whose doorbells lie in a queue of `offline_queue`."""
    return ModelKey(queue.removeprefix(_OFFLINE))


def idle_queue() -> str:
    """Celery queue that nobody rings: what a worker with nothing loaded consumes.

    An empty queue selection makes Celery consume its default queue instead.
    """
    return f"{_OFFLINE}none"
