"""Verification after a cut: every acknowledged job, its results and its idempotency key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import redis

from shared import keys
from tests.powercut.load import Accepted, submit

ENDS_S = 90.0
_KEYS_EACH = 10
"""The keys of all lost jobs are sent again, and the key of an in this number of other jobs."""
DOCUMENTED_S = 2.0
"""Maximum loss in memory mode according to docs/reliability.md."""


@dataclass
class Account:
    """Findings of a cut."""

    jobs: int = 0
    lost: int = 0
    oldest_lost_s: float = 0.0
    faults: list[str] = field(default_factory=list)


def account_of(
    http: httpx.Client, server: redis.Redis, accepted: list[Accepted], *, cut_at_s: float, durability: str
) -> Account:
    account = Account(jobs=len(accepted))
    limit_s = DOCUMENTED_S if durability == "memory" else 0.0
    for number, job in enumerate(accepted):
        age_s = cut_at_s - job.at_s
        fault = _fault_of(http, job)
        lost = fault == LOST
        if lost:
            account.lost += 1
            account.oldest_lost_s = max(account.oldest_lost_s, age_s)
            fault = "" if age_s <= limit_s else f"is lost, {age_s:.1f} s after it was acknowledged"
        account.faults += [f"job {job.id} of {job.rows} rows {fault}"] if fault else []
        if lost or number % _KEYS_EACH == 0:
            account.faults += _key_faults(http, job)
    account.faults += dangling(server)
    return account


LOST = "lost"


def _fault_of(http: httpx.Client, job: Accepted) -> str:
    """Description of the fault; empty if the job ends with complete results."""
    first = _asked(http, f"/jobs/{job.id}")
    if first.status_code == httpx.codes.NOT_FOUND:
        return LOST
    if first.json()["state"] == "succeeded":
        early = _asked(http, f"/jobs/{job.id}/results")
        if not early.is_success:
            return f"has succeeded, and its results are {early.status_code} {early.text[:200]}"
    end_s = time.monotonic() + ENDS_S
    while not (now := _asked(http, f"/jobs/{job.id}").json())["finished_at"]:
        if time.monotonic() > end_s:
            return f"does not end: {now['state']}"
        time.sleep(0.1)
    if now["state"] == "failed" and now["error"]["code"] == "upload_interrupted":
        return LOST  # not sealed yet in the remaining data
    if (now["state"], now["rows_succeeded"]) != ("succeeded", job.rows):
        return f"ended as {now['state']} with {now['rows_failed']} failed rows: {now['error']}"
    results = _asked(http, f"/jobs/{job.id}/results").raise_for_status().json()["results"]
    return "" if len(results) == job.rows and "prediction" in results[0] else "has other results"


def _asked(http: httpx.Client, path: str) -> httpx.Response:
    """Get the answer with retries, because on a busy machine the gateway may briefly lose its queue."""
    end_s = time.monotonic() + ENDS_S
    while (answer := http.get(path)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
        if time.monotonic() > end_s:
            break
        time.sleep(0.2)
    return answer


def _key_faults(http: httpx.Client, job: Accepted) -> list[str]:
    """The same request leads to the job again, or to a new job if it is lost."""
    end_s = time.monotonic() + ENDS_S
    while (again := submit(http, job.rows, job.key)).status_code in {409, 503} and time.monotonic() < end_s:
        time.sleep(0.5)
    if again.status_code not in {200, 202}:
        return [f"key {job.key} is answered {again.status_code}: {again.text[:200]}"]
    return []


def dangling(server: redis.Redis) -> list[str]:
    """References to jobs that do not exist."""
    indexes = (keys.jobs(), keys.webhooks())
    named: list[tuple[str, bytes]] = [
        (name, job_id) for name in indexes for job_id in _members(server, name)
    ] + [(name.decode(), job_id) for name, job_id in _bound(server)]
    return [
        f"{name} names {job_id.decode()}, and there is no such job"
        for name, job_id in named
        if not server.exists(keys.job(job_id.decode()))
    ]


def _members(server: redis.Redis, name: str) -> list[bytes]:
    found: Any = server.zrange(name, 0, -1)
    return list(found)


def _bound(server: redis.Redis) -> Iterator[tuple[bytes, bytes]]:
    """Idempotency-Keys with a complete body, and the job of each key."""
    for name in server.scan_iter(keys.idempotency("*"), count=1000):
        fields: Any = server.hgetall(name)
        if b"digest" in fields:
            yield name, fields[b"job"]
