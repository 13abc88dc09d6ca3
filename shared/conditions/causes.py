"""Conditions without the consequences of others: one cause is reported once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shared.conditions.records import Condition, worst_first

_SERVED = ("default_model_not_served", "model_without_worker", "model_not_loaded")
_QUEUES = ("online_queue_old", "jobs_stand_still", "requests_rejected", "predictions_fail", "jobs_old")
_HEARTBEATS = ("gateway_silent", "no_worker", "worker_silent", "workers_starting", *_SERVED, *_QUEUES)
"""Those that follow if no program can write its heartbeat."""

_EVERYWHERE: Mapping[str, frozenset[str]] = {
    "redis_refuses_writes": frozenset(("redis_memory_nearly_full", "redis_log_fails", *_HEARTBEATS)),
    "no_worker": frozenset((*_SERVED, *_QUEUES, "worker_silent", "worker_restarted")),
    "workers_drained": frozenset((*_SERVED, *_QUEUES)),
    "workers_starting": frozenset((*_SERVED, *_QUEUES)),
    "storage_full": frozenset(("storage_nearly_full",)),
}
"""Cause → consequences, whatever their subject is."""
_SAME_SUBJECT: Mapping[str, frozenset[str]] = {
    "worker_crash_loop": frozenset(("worker_restarted",)),
    "worker_silent": frozenset(("worker_restarted",)),
    "default_model_not_served": frozenset(("model_without_worker", "model_not_loaded", *_QUEUES)),
    "model_without_worker": frozenset(("model_not_loaded", *_QUEUES)),
    "model_failed": frozenset(("model_not_loaded",)),
}
"""Cause → consequences with the same subject."""


def without_consequences(found: Iterable[Condition]) -> Sequence[Condition]:
    """The conditions that no other explains, worst first."""
    listed = list(found)
    codes = {one.code for one in listed}
    hidden = frozenset[str]().union(*(_EVERYWHERE.get(code, frozenset()) for code in codes))
    of_subject = {
        (consequence, one.subject) for one in listed for consequence in _SAME_SUBJECT.get(one.code, ())
    }
    return worst_first(
        one for one in listed if one.code not in hidden and (one.code, one.subject) not in of_subject
    )
