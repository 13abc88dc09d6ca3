"""Measurement of the scenes on running stacks with a model of known speed (bench/specimens/paced)."""

from __future__ import annotations

import time
from datetime import datetime
from statistics import median

import httpx

from bench import loads
from bench.calls import NoAnswer
from bench.loads import Shot
from bench.paced import BODY, MODEL, PacedStack, offered, running_job, submitted
from bench.samples import Sample, measure, parse_log
from bench.servers import run_within
from bench.simulation.costs import Costs
from bench.simulation.scenes import (
    BEAT_S,
    ENDLESS_ROWS,
    LARGE,
    SECOND_S,
    SMALL,
    WARM_UP_S,
    Figures,
    Scene,
    of_closed,
    of_open,
)
from bench.subjects import ROOT
from shared.keys import model_key
from stack.live_workers import connect, live_workers

_KEY = model_key(MODEL, "1.0.0")
_SETTLE_S = 15.0
_JOB_LIMIT_S = 60.0
_LOOK_S = 0.05
_LONE_JOBS = 5
_FULL = 64
"""Number of connections that fills a worker's batches."""

Spent = tuple[int, int, float, float]
"""Number of batches, their rows, and the engines' seconds by lane: online, offline."""


def figures_of(stack: PacedStack, scene: Scene) -> Figures:
    """Raises OSError, subprocess.SubprocessError, httpx.HTTPError, redis.RedisError, NoAnswer."""
    if scene.connections:
        return _closed(stack, scene)
    if scene.rate:
        return _open(stack, scene)
    return _two_jobs(stack)


def calibrated(stack: PacedStack, call_s: float, row_s: float, seconds: float) -> Costs:
    """Costs outside the model, from 1 connection, from enough connections to saturate a worker, and from
    single jobs.

    Raises the errors of `figures_of`.
    """
    lone_ms = median(sample.took_us / 1000 for sample in _fired(stack, 1, seconds) if sample.good)
    spent, used = _beaten(stack), stack.usage().cpu_s
    samples = _fired(stack, _FULL, WARM_UP_S + seconds)
    after = stack.usage().cpu_s
    seen = measure(samples, connections=_FULL, warm_up_s=WARM_UP_S, seconds=seconds)
    rows = _mean_batch(spent, _beaten(stack))
    if not seen.rps:
        raise NoAnswer("nothing was answered within the calibration")
    predict_s = call_s + rows * row_s
    batch_s = max(0.0, rows / seen.rps - predict_s)
    gateway_s, queue_s = ((after[part] - used.get(part, 0.0)) / len(samples) for part in ("gateway", "queue"))
    chunk_s = median(_lone_job_s(stack) for _ in range(_LONE_JOBS)) - call_s - row_s - batch_s
    around_s = lone_ms / 1000 - call_s - row_s - batch_s
    return Costs(
        call_s=call_s,
        row_s=row_s,
        batch_s=batch_s,
        gateway_s=gateway_s,
        queue_s=queue_s,
        path_s=max(0.0, around_s - gateway_s - queue_s),
        chunk_s=max(0.0, chunk_s),
    )


def _closed(stack: PacedStack, scene: Scene) -> Figures:
    before = _spent(stack)
    samples = _fired(stack, scene.connections, WARM_UP_S + scene.seconds)
    seen = measure(samples, connections=scene.connections, warm_up_s=WARM_UP_S, seconds=scene.seconds)
    return of_closed(seen, _mean_batch(before, _beaten(stack)))


def _fired(stack: PacedStack, connections: int, duration_s: float) -> list[Sample]:
    body_file, log_file = stack.folder / "body", stack.folder / "requests.log"
    body_file.write_bytes(BODY)
    log_file.unlink(missing_ok=True)
    headers = {"Content-Type": "application/json"}
    [url] = stack.predictions
    shot = Shot(url, headers, body_file, log_file, connections, duration_s)
    run_within(loads.choose(None).command(shot), ROOT, stack.leash, duration_s + _SETTLE_S)
    return list(parse_log(log_file.read_text()))


def _open(stack: PacedStack, scene: Scene) -> Figures:
    if not scene.beside_a_job:
        return _offered(stack, scene)[0]
    with running_job(stack, ENDLESS_ROWS):
        found, (_, _, online_s, offline_s) = _offered(stack, scene)
    share = offline_s / max(online_s + offline_s, 1e-9)
    return Figures(**{**vars(found), "job_share": share})


def _offered(stack: PacedStack, scene: Scene) -> tuple[Figures, Spent]:
    before = _spent(stack)
    calls = offered(stack, scene.offer)
    after = _beaten(stack)
    spent = tuple(new - old for new, old in zip(after, before, strict=True))
    return of_open(calls, scene.offer, _mean_batch(before, after), None), spent  # type: ignore[return-value]


def _two_jobs(stack: PacedStack) -> Figures:
    with httpx.Client(base_url=stack.gateways[0], timeout=_JOB_LIMIT_S) as client:
        large = submitted(client, LARGE)
        time.sleep(SECOND_S)
        small = submitted(client, SMALL)
        return Figures(large_s=_took_s(client, large), small_s=_took_s(client, small))


def _lone_job_s(stack: PacedStack) -> float:
    """Time of a single-row job without other load."""
    with httpx.Client(base_url=stack.gateways[0], timeout=_JOB_LIMIT_S) as client:
        return _took_s(client, submitted(client, 1))


def _took_s(client: httpx.Client, path: str) -> float:
    """Time from a job's creation to its end by the queue's clock. Raises NoAnswer."""
    limit_s = time.monotonic() + _JOB_LIMIT_S
    while time.monotonic() < limit_s:
        found = client.get(path).raise_for_status().json()
        if found["state"] == "succeeded":
            began, ended = (datetime.fromisoformat(found[name]) for name in ("created_at", "finished_at"))
            return (ended - began).total_seconds()
        time.sleep(_LOOK_S)
    raise NoAnswer(f"a job did not end within {_JOB_LIMIT_S:g} s")


def _beaten(stack: PacedStack) -> Spent:
    time.sleep(BEAT_S)
    return _spent(stack)


def _spent(stack: PacedStack) -> Spent:
    with connect(stack.redis_url) as client:
        workers = live_workers(client)
    models = [worker.models[_KEY] for worker in workers]
    return (
        sum(model.batches for model in models),
        sum(model.batch_rows for model in models),
        sum(worker.online_s for worker in workers),
        sum(worker.offline_s for worker in workers),
    )


def _mean_batch(before: Spent, after: Spent) -> float:
    return (after[1] - before[1]) / max(1, after[0] - before[0])
