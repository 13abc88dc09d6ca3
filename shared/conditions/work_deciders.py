"""Decides what is wrong with models, waiting work, requests and jobs."""

from __future__ import annotations

from collections.abc import Iterator

from shared.conditions.facts import SlotsByModel, StatusFacts
from shared.conditions.records import Condition
from shared.history import Count, SlotCounts
from shared.keys import ModelKey
from shared.rollouts import RolloutState
from shared.safe_texts import foreign_text
from shared.worker_records import ModelState

OLD_REQUEST_S = 5.0
OLD_JOB_S = 4 * 3600.0
REJECTED_SHARE = 0.05
FAILED_SHARE = 0.02
RETRIED_SHARE = 0.1
FEW = 20
"""With fewer requests, or chunks, a share means nothing."""
ROLLED_BACK_SHOWN_MS = 86_400_000


def of_models(facts: StatusFacts) -> Iterator[Condition]:
    yield from _of_failed_models(facts)
    default = facts.gateway.default_model
    if default and not facts.gateway.serves_default:
        yield Condition("default_model_not_served", default)
    for key in dict.fromkeys((*facts.wanted, *facts.lanes.models)):
        yield from _of_unserved(facts, key)
    for deployment in facts.deployments:
        rollout = deployment.rollout
        is_recent = facts.now_ms - deployment.changed_at_ms < ROLLED_BACK_SHOWN_MS
        if rollout and rollout.state is RolloutState.ROLLED_BACK and is_recent:
            yield Condition(
                "rollout_rolled_back", f"{deployment.model}@{rollout.to}", {"reason": rollout.reason}
            )


def _of_failed_models(facts: StatusFacts) -> Iterator[Condition]:
    failed: dict[str, list[str]] = {}
    for worker in facts.workers:
        for key, held in worker.models.items():
            if held.state is ModelState.FAILED:
                failed.setdefault(key, []).append(held.reason)
    for key, reasons in sorted(failed.items()):
        yield Condition("model_failed", key, {"count": len(reasons), "reason": foreign_text(reasons[0])})


def _of_unserved(facts: StatusFacts, key: ModelKey) -> Iterator[Condition]:
    if any(worker.holds(key) or worker.will_hold(key) for worker in facts.workers):
        return
    lanes = facts.lanes.of(key)
    rows = lanes.online.rows + lanes.offline.rows
    refused = facts.five_minutes.get(key, SlotCounts()).counts[Count.UNSERVED]
    if rows or refused:
        yield Condition("model_without_worker", key, {"rows": rows})
    elif key in facts.wanted:
        yield Condition("model_not_loaded", key)


def of_work(facts: StatusFacts) -> Iterator[Condition]:
    yield from _of_lanes(facts)
    for key, counts in sorted(facts.five_minutes.items()):
        yield from _of_requests(key, counts)
    for key, number in sorted(facts.failed_jobs.items()):
        if number:
            yield Condition("jobs_fail", key, {"count": number})
    yield from _of_chunks(facts.quarter_hour)


def _of_lanes(facts: StatusFacts) -> Iterator[Condition]:
    for key, lanes in sorted(facts.lanes.models.items()):
        online, offline = lanes.online, lanes.offline
        if online.oldest_s > OLD_REQUEST_S:
            yield Condition("online_queue_old", key, {"seconds": round(online.oldest_s)})
        if offline.chunks and not offline.running_chunks:
            yield Condition("jobs_stand_still", key, {"count": offline.chunks})
        if offline.oldest_s > OLD_JOB_S:
            yield Condition("jobs_old", key, {"hours": round(offline.oldest_s / 3600)})


def _of_requests(key: ModelKey, slots: SlotCounts) -> Iterator[Condition]:
    counts = slots.counts
    all_requests = counts[Count.REQUESTS] + counts[Count.ERRORS]
    if all_requests < FEW:
        return
    for code, number, most in (
        ("requests_rejected", counts[Count.SHED], REJECTED_SHARE),
        ("predictions_fail", counts[Count.FAILED], FAILED_SHARE),
    ):
        share = number / all_requests
        if share > most:
            yield Condition(code, key, {"percent": round(100 * share, 1)})


def _of_chunks(slots: SlotsByModel) -> Iterator[Condition]:
    for key, slot in sorted(slots.items()):
        attempts, retries = slot.counts[Count.ATTEMPTS], slot.counts[Count.RETRIES]
        if attempts >= FEW and retries / attempts > RETRIED_SHARE:
            yield Condition("chunks_retried", key, {"percent": round(100 * retries / attempts)})
        if slot.counts[Count.QUARANTINES]:
            yield Condition("rows_quarantined", key, {"count": slot.counts[Count.QUARANTINES]})
