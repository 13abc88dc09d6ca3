"""Under load: batches form, deadlines hold, and requests of disconnected clients are not computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from shared import keys
from shared.keys import model_key
from tests.support.callers import IRIS, batch_rows, predict_all, stages
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import Stack

pytestmark = pytest.mark.integration

STREAM = keys.online(model_key("iris", "1.0.0"))


async def test_64_connections_form_batches_seen_in_the_timers(stack: Stack) -> None:
    answers = await predict_all(stack.url, [dict(IRIS)] * 640, connections=64)
    assert {answer.status_code for answer in answers} == {200}
    rows = sorted(batch_rows(answer) for answer in answers)
    # the load generator shares this machine's cores: most requests find company, some a crowd
    assert rows[len(rows) // 2] >= 2
    assert 8 <= rows[-1] <= 64


def test_every_stage_of_a_request_is_timed(http: httpx.Client) -> None:
    timed = stages(http.post("/predict", json=IRIS))
    assert {"validate", "encode", "queue", "batch", "predict", "reply"} <= timed.keys()
    assert timed["predict"] > 0


def test_a_wait_that_is_too_short_ends_with_504_and_leaves_nothing_in_the_queue(
    stack: Stack, stack_queue: Server, http: httpx.Client
) -> None:
    stopped = stack.parts["worker"]
    stopped.pause()
    try:
        answer = http.post("/predict", json=IRIS, headers={"Prefer": "wait=1"})
        assert answer.status_code in (503, 504)
        assert answer.json()["error"] in ("deadline_exceeded", "model_not_loaded")
    finally:
        stopped.go_on()
    with stack_queue.client() as client:
        eventually(lambda: client.xlen(STREAM) == 0)
    eventually(lambda: http.post("/predict", json=IRIS).status_code == 200)


async def test_requests_whose_clients_left_are_taken_back(stack: Stack, stack_queue: Server) -> None:
    stopped = stack.parts["worker"]
    stopped.pause()
    try:
        async with httpx.AsyncClient(base_url=stack.url) as client:
            leaving = [asyncio.create_task(client.post("/predict", json=IRIS)) for _ in range(20)]
            with stack_queue.client() as redis:
                await _until(lambda: redis.xlen(STREAM) >= 19)
                for task in leaving:
                    task.cancel()
                await asyncio.gather(*leaving, return_exceptions=True)
                await _until(lambda: redis.xlen(STREAM) <= 1)
    finally:
        stopped.go_on()


async def _until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, condition)
