"""Webhooks through a whole stack: submitted over HTTP, delivered by a worker, resumed after its kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from shared import keys
from tests.support.callers import finished
from tests.support.polling import eventually
from tests.support.receivers import Answer, Received, receiver
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = pytest.mark.integration

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SETTINGS = {"webhook_secret": SECRET, "webhook_allow": "127.0.0.1/32", "models": "iris"}
SETOSA = [5.1, 3.5, 1.4, 0.2]
LIMIT_S = 30.0
"""Time limit of a delivery on a busy machine."""


@pytest.fixture(scope="module")
def calling(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway and a worker with webhooks that may reach this machine."""
    with running(queue.url, tmp_path_factory.mktemp("calling"), **SETTINGS) as started:
        started.gateway()
        started.worker("worker")
        wait_until_ready(started)
        yield started


def submitted(http: httpx.Client, url: str, *, model: str = "iris") -> httpx.Response:
    return http.post("/jobs", json={"model": model, "inputs": [SETOSA], "webhook_url": url})


def verified(request: Received) -> dict[str, Any]:
    """The content of a message with a signature that the reference implementation accepts."""
    message: dict[str, Any] = Webhook(SECRET).verify(request.body, request.headers)
    return message


def test_a_jobs_end_is_told_with_a_valid_signature(calling: Stack) -> None:
    with calling.client() as http, receiver() as to:
        job = finished(http, submitted(http, to.url).headers["Location"])
        eventually(lambda: to.received, limit_s=LIMIT_S)
    message = verified(to.received[0])
    assert message["type"] == "job.succeeded"
    assert message["data"]["id"] == job["id"]
    assert (message["data"]["rows_succeeded"], message["data"]["rows_failed"]) == (1, 0)
    assert message["data"]["links"]["self"] == f"/jobs/{job['id']}"


def test_a_failed_attempt_is_kept_and_tried_again(calling: Stack, queue: Server) -> None:
    with calling.client() as http, queue.client() as client, receiver(Answer(503), Answer(200)) as to:
        job = finished(http, submitted(http, to.url).headers["Location"])
        eventually(lambda: client.xlen(keys.job_webhook(job["id"])) == 1, limit_s=LIMIT_S)
        client.zadd(keys.webhooks(), {job["id"]: 0})  # its pause is over
        eventually(lambda: client.xlen(keys.job_webhook(job["id"])) == 2, limit_s=LIMIT_S)
        assert client.zscore(keys.webhooks(), job["id"]) is None
        shown = http.get(f"/jobs/{job['id']}").json()["webhook"]
        (listed,) = [other for other in http.get("/jobs").json()["jobs"] if other["id"] == job["id"]]
    assert (shown["url"], shown["state"]) == (to.url, "delivered")
    assert [attempt["status"] for attempt in shown["attempts"]] == [503, 200]
    assert listed["webhook"] == shown
    first, second = to.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert verified(first) == verified(second)


def test_what_a_worker_was_telling_as_it_was_killed_another_tells(calling: Stack, queue: Server) -> None:
    with calling.client() as http, queue.client() as client, receiver() as to:
        to.gate.clear()
        job = finished(http, submitted(http, to.url).headers["Location"])
        eventually(lambda: to.received, limit_s=LIMIT_S)
        calling.parts["worker"].kill()
        to.gate.set()
        assert client.xlen(keys.job_webhook(job["id"])) == 0
        client.zadd(keys.webhooks(), {job["id"]: 0})  # the lease has run out
        calling.worker("worker")
        eventually(lambda: client.xlen(keys.job_webhook(job["id"])) == 1, limit_s=LIMIT_S)
    assert [verified(request)["data"]["id"] for request in to.received] == [job["id"]] * 2


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/hook",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "https://a:b@mes.example/",
        "ftp://x",
    ],
)
def test_a_url_where_no_webhook_may_go_is_422_and_no_job(calling: Stack, url: str) -> None:
    with calling.client() as http:
        answer = submitted(http, url)
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["detail"]] == ["webhook_url"]


def test_nothing_of_the_secret_is_in_the_logs(calling: Stack) -> None:
    assert "webhook_attempted" in calling.logs()
    assert SECRET.removeprefix("whsec_") not in calling.logs()


def test_without_a_secret_a_webhook_is_422_and_says_what_to_set(
    queue: Server, models: Path, tmp_path: Path
) -> None:
    with running(queue.url, tmp_path) as stack, stack.client() as http:
        gateway = stack.gateway()
        eventually(lambda: gateway.has_said("queue_reached"))  # it lives a moment sooner
        answer = submitted(http, "https://mes.example/takt")
    assert answer.status_code == 422, answer.text
    assert "TAKT_WEBHOOK_SECRET" in answer.text
