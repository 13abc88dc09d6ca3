"""The names of all Redis keys of Takt. No other module composes key names.

All keys begin with `takt:` and the schema version, so that a deployment can move to another layout while the
old layout drains. Streams and queues contain the model version: a gateway resolves the default version when
it admits a request, and a worker consumes only for its loaded versions.
"""

from __future__ import annotations

from typing import NewType

SCHEMA = 1
PREFIX = f"takt:{SCHEMA}"

WORKER_GROUP = "workers"
"""The consumer group of every online stream."""

_OFFLINE = "offline."

ModelKey = NewType("ModelKey", str)
"""`{model}@{version}`: the name of a served version, everywhere outside HTTP paths."""


def model_key(model: str, version: str) -> ModelKey:
    return ModelKey(f"{model}@{version}")


def split_model_key(key: str) -> tuple[str, str]:
    model, _, version = key.partition("@")
    return model, version


def online(key: ModelKey) -> str:
    """Stream: the entries waiting on the online lane of a model version."""
    return f"{PREFIX}:online:{key}"


def reply(gateway: str) -> str:
    """Stream: answers for a life of a gateway (`{name}:{boot}`)."""
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
    """Stream: the job's progress, for clients that follow it."""
    return f"{PREFIX}:job:{job_id}:events"


def job_webhook(job_id: str) -> str:
    """Stream: the attempts to deliver the job's webhook."""
    return f"{PREFIX}:job:{job_id}:webhook"


def job_inline(job_id: str) -> str:
    """Hash: `rows` and `result` of a small job with a single chunk, which are not in the payload store."""
    return f"{PREFIX}:job:{job_id}:inline"


def active(key: ModelKey) -> str:
    """Sorted set: jobs of a model version with ready chunks, by their tag: rows served over weight."""
    return f"{PREFIX}:active:{key}"


def owners(key: ModelKey) -> str:
    """Sorted set: owners with jobs in `active` of a model version, by their tag: rows served over weight."""
    return f"{PREFIX}:owners:{key}"


def owner_active(key: ModelKey, owner: str) -> str:
    """Sorted set: an owner's part of `active`, with the same tags."""
    return f"{active(key)}:{owner}"


def placed(key: ModelKey) -> str:
    """Hash: job id → owner, of the jobs of a model version that are in an `owner_active`."""
    return f"{PREFIX}:placed:{key}"


def fair_times(key: ModelKey) -> str:
    """Hash: the owners' clock and tags in a model version, and the clock of each owner's jobs."""
    return f"{PREFIX}:fair-times:{key}"


def running(owner: str) -> str:
    """Hash with a TTL: `{job}:{chunk}:{token}` → rows, of the chunks of an owner with `max_running_rows`."""
    return f"{PREFIX}:running:{owner}"


def open_jobs(owner: str) -> str:
    """Sorted set: an owner's jobs that have not ended, by creation time."""
    return f"{PREFIX}:open-jobs:{owner}"


def clocks() -> str:
    """Hash: model version → the tag of its last claim, the lowest tag of a job that enters `active`."""
    return f"{PREFIX}:clocks"


def leases() -> str:
    """Sorted set: `{job}:{chunk}:{token}` by lease expiry, in ms of Redis TIME."""
    return f"{PREFIX}:leases"


def jobs() -> str:
    """Sorted set: all jobs by creation time, in ms of Redis TIME."""
    return f"{PREFIX}:jobs"


def owner_jobs(owner: str) -> str:
    """Sorted set: an owner's jobs by creation time."""
    return f"{PREFIX}:jobs:{owner}"


def expiring() -> str:
    """Sorted set: ended jobs by the end of their retention, in ms of Redis TIME, until their data is
    removed."""
    return f"{PREFIX}:expiring"


def webhooks() -> str:
    """Sorted set: ended jobs with an undelivered webhook, by its due time, in ms of Redis TIME."""
    return f"{PREFIX}:webhooks"


def idempotency(name: str) -> str:
    """Hash with a TTL: the job of an owner's Idempotency-Key, and the digest of its body."""
    return f"{PREFIX}:idempotency:{name}"


def workers() -> str:
    """Sorted set: worker ids by their last heartbeat, in ms of Redis TIME."""
    return f"{PREFIX}:workers"


def worker(worker_id: str) -> str:
    """Hash with a TTL: a worker's heartbeat. If it is gone, the worker counts as dead."""
    return f"{PREFIX}:worker:{worker_id}"


def drain(worker_id: str) -> str:
    """String with a TTL: the order that this worker claims no work. The worker renews it while it lives."""
    return f"{PREFIX}:drain:{worker_id}"


def worker_orders(worker_id: str) -> str:
    """List with a TTL: orders to a worker, which takes them with its next heartbeat."""
    return f"{PREFIX}:orders:{worker_id}"


def worker_stack(worker_id: str, ticket: str) -> str:
    """String with a TTL: the stacks of a worker's threads, as an order requested them."""
    return f"{PREFIX}:stack:{worker_id}:{ticket}"


def worker_log(worker_id: str, ticket: str) -> str:
    """String with a TTL: the latest log events of a worker, as an order requested them."""
    return f"{PREFIX}:log:{worker_id}:{ticket}"


def access_keys() -> str:
    """Hash: API key id → the key's record, as JSON, without its secret."""
    return f"{PREFIX}:access:keys"


def access_shares() -> str:
    """Hash: owner → weight and limits, as JSON, see `shared.api_keys.Share`."""
    return f"{PREFIX}:access:shares"


def access_version() -> str:
    """String: counts the changes of `access_keys` and `access_shares`, so that gateways reread only after
    one."""
    return f"{PREFIX}:access:version"


def sign_in(state: str) -> str:
    """String: the state with which a person's sign-in at the provider began, as JSON; expires."""
    return f"{PREFIX}:access:sign_in:{state}"


def access_used() -> str:
    """Hash: API key id → approximate time of its last use, in ms of Redis TIME."""
    return f"{PREFIX}:access:used"


def deployments() -> str:
    """Hash: model → its deployment, as JSON, see `shared/deployments.py`."""
    return f"{PREFIX}:deployments"


def deployments_version() -> str:
    """String: counts the changes of `deployments`, so that gateways and workers reread only after one."""
    return f"{PREFIX}:deployments:version"


def deployment_history(model: str) -> str:
    """Stream: the changes of a model's deployment."""
    return f"{PREFIX}:deployments:history:{model}"


def publications(model: str) -> str:
    """Hash with a TTL: version → its publication that has not succeeded, as JSON, see
    `shared/publications.py`."""
    return f"{PREFIX}:publications:{model}"


def publishing(key: ModelKey) -> str:
    """String with a TTL: the gateway request that publishes or deletes a version now."""
    return f"{PREFIX}:publishing:{key}"


def candidates() -> str:
    """Hash: publication id → the version that a worker is to verify, as JSON."""
    return f"{PREFIX}:candidates"


def candidate_claim(publication: str) -> str:
    """String with a TTL: the worker that verifies a candidate now."""
    return f"{PREFIX}:candidate:{publication}"


def verdict(publication: str) -> str:
    """String with a TTL: the result of the verification of a candidate, as JSON."""
    return f"{PREFIX}:verdict:{publication}"


def registry_events() -> str:
    """Hash: event of a model registry that is to be handled → its record, see `shared/registry_events.py`."""
    return f"{PREFIX}:registry-events"


def registry_aliases() -> str:
    """Sorted set: models by the time of the newest event that deploys one of their versions."""
    return f"{PREFIX}:registry-aliases"


def rollout_counts(model: str, generation: int) -> str:
    """Hash with a TTL: what both versions of a rollout answered in one step, like a slot of `history`."""
    return f"{PREFIX}:rollout:{model}:{generation}"


def rollout_gate(model: str, generation: int) -> str:
    """String with a TTL: the gateway that compares the replay of a rollout's gate now."""
    return f"{PREFIX}:rollout-gate:{model}:{generation}"


def shadow(key: ModelKey) -> str:
    """List with a TTL: the entries that a model version is to run as a shadow, see `shared/shadowing.py`."""
    return f"{PREFIX}:shadow:{key}"


def shadow_counts(model: str, generation: int) -> str:
    """Hash with a TTL: the counts of a shadow in one generation of the deployment."""
    return f"{PREFIX}:shadow-counts:{model}:{generation}"


def shadow_rows(model: str) -> str:
    """List with a TTL: the newest rows on which a shadow disagreed, if the model allows them to be kept."""
    return f"{PREFIX}:shadow-rows:{model}"


def history(slot_s: int) -> str:
    """Hash with a TTL: the counts of all processes in a time slot, by its start in s of Redis TIME."""
    return f"{PREFIX}:history:{slot_s}"


def hour(start_s: str) -> str:
    """Hash with a TTL: the ended jobs and the requests of an hour, by its start in s of Redis TIME."""
    return f"{PREFIX}:hour:{start_s}"


def gateways() -> str:
    """Sorted set: names of gateway processes by their last sign of life, in ms of Redis TIME."""
    return f"{PREFIX}:gateways"


def conditions() -> str:
    """Hash: id of a present condition → its beginning and its notification, as JSON, see
    `shared/conditions/`."""
    return f"{PREFIX}:conditions"


def conditions_lock() -> str:
    """String with a TTL: the gateway that records conditions and sends notifications now."""
    return f"{PREFIX}:conditions-lock"


def damaged() -> str:
    """Hash with a TTL: changed or missing objects that the scrubber found: `count`, and the latest `job`."""
    return f"{PREFIX}:damaged"


def limits() -> str:
    """Prefix of strings with a TTL: the used quota of API keys; the library `limits` composes the rest."""
    return f"{PREFIX}:limits"


def born() -> str:
    """String: the first time this ledger was seen, in ms of Redis TIME."""
    return f"{PREFIX}:born"


def reconciler_lock() -> str:
    """String with a TTL: the worker that reconciles now."""
    return f"{PREFIX}:reconciler"


def scrubber_lock() -> str:
    """String with a TTL: the worker that checks stored objects now."""
    return f"{PREFIX}:scrubber"


def scrub_progress() -> str:
    """String: progress of the check of stored objects, as JSON, see `worker/chunks/scrubber.py`."""
    return f"{PREFIX}:scrub-progress"


def dead_letters() -> str:
    """Stream: unreadable items with the reason, see `shared/dead_letters.py`."""
    return f"{PREFIX}:dead-letters"


def dead_letter_mark(place: str) -> str:
    """String with a TTL: the item at this place was already set aside."""
    return f"{PREFIX}:dead-letter:{place}"


def offline_queue(key: ModelKey) -> str:
    """Celery queue (a list): the doorbells of a model version."""
    return f"{_OFFLINE}{key}"


def offline_bindings(key: ModelKey) -> tuple[str, str]:
    """The sets in which Celery's transport keeps that an `offline_queue` exists."""
    queue = offline_queue(key)
    return f"_kombu.binding.{queue}", f"_kombu.binding_permanent.{queue}"


def model_key_of_queue(queue: str) -> ModelKey:
    """The model version of an `offline_queue`."""
    return ModelKey(queue.removeprefix(_OFFLINE))


def idle_queue() -> str:
    """Celery queue without doorbells, consumed by a worker without loaded models.

    Without any selected queue, Celery would consume its default queue.
    """
    return f"{_OFFLINE}none"
