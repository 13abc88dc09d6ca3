"""Overload: admitted requests are answered in time, and rejected requests receive a `Retry-After`.

The short form of `python -m bench.overload`; the model sleeps for its rows, so that the machine's own speed
matters little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bench.arrivals import Call, Load, Offer
from bench.outcomes import Outcome, outcome_of
from bench.paced import BODY, MODEL, paced_repository
from shared import keys
from shared.keys import model_key
from shared.worker_records import WorkerRecord
from stack.live_workers import live_workers
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.faults]

CAP = 100.0
"""Rows a second that the model can do."""
KEY = model_key(MODEL, "1.0.0")


@pytest.fixture(scope="module")
def paced(queue: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway and a worker that does 100 rows/s."""
    folder = tmp_path_factory.mktemp("paced")
    models = paced_repository(folder, pace_ms=1000 / CAP)
    with running(queue.url, folder, models_dir=str(models), default_model=MODEL) as stack:
        stack.gateway()
        stack.worker("paced")
        wait_until_ready(stack)
        yield stack


def worker_of(queue: Server) -> WorkerRecord:
    with queue.client() as client:
        [record] = live_workers(client)
    return record


@dataclass(frozen=True)
class Watched:
    """A load, and the worker's calls for it."""

    calls: list[Call]
    outcome: Outcome
    predicted: int  # rows


async def offered(stack: Stack, queue: Server, load: float) -> Watched:
    before = worker_of(queue).models[KEY].batch_rows
    offer = Offer(rate=load * CAP, seconds=5.0, wait_s=2)
    calls = await Load([f"{stack.url}/predict"], BODY, offer).run()
    answered = sum(call.good for call in calls)
    # the heartbeat comes after the work
    eventually(lambda: worker_of(queue).models[KEY].batch_rows - before >= answered)
    return Watched(calls, outcome_of(calls, offer), worker_of(queue).models[KEY].batch_rows - before)


async def test_a_load_of_just_what_the_model_can_do_is_answered(paced: Stack, queue: Server) -> None:
    seen = (await offered(paced, queue, 0.8)).outcome
    assert (seen.broken, seen.misses) == (0, 0)
    assert seen.new_admitted > 0.9 * seen.new


async def test_five_times_the_load_keeps_the_goodput_and_the_deadlines(paced: Stack, queue: Server) -> None:
    watched = await offered(paced, queue, 5)
    seen = watched.outcome
    assert seen.broken == 0
    assert seen.good_per_s > 0.6 * CAP
    assert seen.misses <= 0.05 * seen.new_admitted
    # nothing is predicted that nobody waits for, and nothing is left behind
    assert watched.predicted <= 1.1 * seen.new_admitted
    with queue.client() as client:
        eventually(lambda: client.xlen(keys.online(KEY)) == 0)
    refused = [call for call in watched.calls if call.refused]
    assert len(refused) + seen.new_admitted + seen.misses >= seen.new
    # four of five are sent away, each to a time of its own: the line grows by four seconds a second
    times_s = [call.retry_after_s or 0 for call in sorted(refused, key=lambda call: call.due_s)]
    assert min(times_s) >= 1
    assert 8 <= times_s[-1] <= 40


async def test_chunks_keep_their_share_of_a_worker_under_full_online_load(
    paced: Stack, queue: Server
) -> None:
    with paced.client() as http:
        rows = [[1.0]] * 3000
        job = http.post("/jobs", json={"model": MODEL, "inputs": rows}).raise_for_status().headers["Location"]
        eventually(lambda: http.get(job).json()["state"] == "running")
        before = worker_of(queue)
        seen = (await offered(paced, queue, 5)).outcome
        after = worker_of(queue)
        http.post(f"{job}/cancel").raise_for_status()
    online_s, offline_s = after.online_s - before.online_s, after.offline_s - before.offline_s
    assert offline_s > 0.09 * (online_s + offline_s)
    # admission knows the rate that is left, so that deadlines hold beside a job too
    assert seen.broken == 0
    assert seen.misses <= 0.1 * seen.new_admitted
    assert seen.good_per_s > 0.4 * CAP
