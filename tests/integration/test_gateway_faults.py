"""Killed and duplicate gateways, slow and disconnected clients: other clients are hardly affected."""

from __future__ import annotations

import asyncio
import http.client
import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from shared import keys
from shared.keys import model_key
from tests.support.callers import IRIS, finished, predict_all
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.faults]

HEADER = b"sepal_length,sepal_width,petal_length,petal_width\n"
CSV = {"Content-Type": "text/csv"}
ONLINE = keys.online(model_key("iris", "1.0.0"))
IDLE = 5_000
LEAVING = 2_000
HEAD_LIMIT_S = 2.0
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def stack(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two gateways and a worker; the second gateway is `other`."""
    folder = tmp_path_factory.mktemp("gateway_faults")
    limits = {"head_limit_s": str(HEAD_LIMIT_S), "upload_idle_s": "2", "lease_s": "6", "batch_limit_s": "4"}
    with running(queue.url, folder, models="iris", chunk_rows="2000", **limits) as started:
        started.gateway()
        started.worker("one")
        wait_until_ready(started)
        yield started


@pytest.fixture
def other(queue: Server, stack: Stack) -> Iterator[Stack]:
    """A second gateway beside the first, on the same server, worker and payloads."""
    payloads = (stack.folder / "payloads").as_uri()
    folder = stack.folder / "other"
    folder.mkdir(exist_ok=True)
    with running(queue.url, folder, lease_s="6", batch_limit_s="4", payload_url=payloads) as started:
        started.gateway("other")
        wait_until_ready(started)
        yield started


async def test_two_gateways_at_once_each_get_their_own_answers(stack: Stack, other: Stack) -> None:
    bodies: list[dict[str, object]] = [dict(IRIS) for _ in range(300)]
    one, two = await asyncio.gather(
        predict_all(stack.url, bodies, connections=16), predict_all(other.url, bodies, connections=16)
    )
    assert {answer.status_code for answer in one + two} == {200}


def test_a_job_is_the_same_job_at_every_gateway(stack: Stack, other: Stack) -> None:
    body = {"model": "iris", "inputs": [[5.1, 3.5, 1.4, 0.2]] * 3}
    key = {"Idempotency-Key": "across-gateways"}
    with stack.client() as here, other.client() as there:
        job = here.post("/jobs", json=body, headers=key).raise_for_status().json()
        again = there.post("/jobs", json=body, headers=key)
        assert (again.json()["id"], again.headers["idempotent-replayed"]) == (job["id"], "true")
        conflict = there.post("/jobs", json=body | {"priority": 9}, headers=key)
        assert (conflict.status_code, conflict.json()["error"]) == (409, "idempotency_conflict")
        assert finished(there, f"/jobs/{job['id']}")["state"] == "succeeded"
        results = there.get(f"/jobs/{job['id']}/results").json()["results"]
        assert results == here.get(f"/jobs/{job['id']}/results").json()["results"]


def test_kill_9_of_a_gateway_during_an_upload_fails_its_job_and_frees_its_key(
    stack: Stack, other: Stack
) -> None:
    key = {"Idempotency-Key": "cut-off"}
    upload = begun_upload(other, key)
    with stack.client() as http_:
        job_id = eventually(lambda: uploading(http_)) or ""
        chunks = stack.folder / "payloads" / job_id
        eventually(chunks.exists)
        other.parts["other"].kill()
        job = finished(http_, f"/jobs/{job_id}")  # once its lease of 6 s is over
        assert (job["state"], job["error"]["code"]) == ("failed", "upload_interrupted")
        eventually(lambda: not chunks.exists())
        again = http_.post("/jobs?model=iris", content=HEADER + b"5.1,3.5,1.4,0.2\n", headers=CSV | key)
        assert again.status_code == 202, again.text
        assert again.json()["id"] != job_id
    upload.close()


async def test_kill_9_of_a_gateway_during_waits_leaves_nothing_in_the_streams(
    stack: Stack, other: Stack, queue: Server
) -> None:
    bodies: list[dict[str, object]] = [dict(IRIS) for _ in range(400)]
    admin = queue.client()
    stack.parts["one"].pause()  # so that all of them wait as their gateway is killed
    try:
        load = asyncio.create_task(predict_all(other.url, bodies, connections=64))
        await asyncio.to_thread(eventually, lambda: admin.xlen(ONLINE))
        other.parts["other"].kill()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await load
    finally:
        stack.parts["one"].go_on()
    await asyncio.to_thread(eventually, lambda: admin.xlen(ONLINE) == 0)
    replies = list(admin.scan_iter(keys.reply("other:*")))
    assert all(0 < admin.ttl(reply) <= 60 for reply in replies)  # its answers go with it
    [answer] = await predict_all(stack.url, [dict(IRIS)], connections=1)
    assert answer.status_code == 200


def test_a_head_that_comes_a_byte_at_a_time_is_408_and_let_go(stack: Stack) -> None:
    began_s = time.monotonic()
    with connected(stack) as client:
        for byte in b"POST /predict HTTP/1.1\r\nHost: takt\r\nX-Slow: yes":
            client.sendall(bytes([byte]))
        status, body = answered(client)
        assert (status, body["error"]) == (408, "request_timeout")
        assert body["request_id"]
        assert client.recv(1) == b""
    assert time.monotonic() - began_s < HEAD_LIMIT_S + LIMIT_S


@pytest.mark.parametrize("path", ["/predict", "/jobs", "/jobs?model=iris"])
def test_a_body_that_stops_is_408_and_let_go(stack: Stack, path: str) -> None:
    kind = "text/csv" if "?" in path else "application/json"
    head = f"POST {path} HTTP/1.1\r\nHost: takt\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n"
    with connected(stack) as client:
        client.sendall(head.encode() + b'{"sepal_')
        status, body = answered(client)
        assert (status, body["error"]) == (408, "upload_interrupted")
        assert client.recv(1) == b""


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[0] < IDLE + 1000, reason="ulimit -n allows too few connections"
)
async def test_predictions_are_answered_beside_5000_idle_connections(stack: Stack) -> None:
    with held_open(stack, IDLE):
        answers = await predict_all(stack.url, [dict(IRIS)] * 50, connections=4)
    assert {answer.status_code for answer in answers} == {200}


def test_thousands_of_clients_that_leave_leave_nothing_behind(stack: Stack, queue: Server) -> None:
    body = json.dumps(IRIS)
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    for _ in range(LEAVING // 200):
        with held_open(stack, 200) as clients:
            for client in clients:
                client.sendall(f"POST /predict HTTP/1.1\r\nHost: takt\r\n{kind}\r\n\r\n{body}".encode())
    with queue.client() as admin:
        eventually(lambda: admin.xlen(ONLINE) == 0)
    with stack.client() as http:
        assert http.post("/predict", json=IRIS).status_code == 200


@contextmanager
def held_open(stack: Stack, connections: int) -> Iterator[list[socket.socket]]:
    """Open a number of connections, and close them after the block without sending anything."""
    with ExitStack() as held:
        yield [
            held.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=LIMIT_S))
            for _ in range(connections)
        ]


def begun_upload(stack: Stack, headers: dict[str, str]) -> http.client.HTTPConnection:
    """An upload of which enough has come for chunks to be stored, and which does not end."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port)
    connection.putrequest("POST", "/jobs?model=iris")
    for name, value in (CSV | headers | {"Transfer-Encoding": "chunked"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    part = HEADER + b"5.1,3.5,1.4,0.2\n" * 200_000
    connection.send(b"%x\r\n" % len(part) + part + b"\r\n")
    return connection


def uploading(client: httpx.Client) -> str | None:
    jobs = client.get("/jobs?state=uploading").json()["jobs"]
    return str(jobs[0]["id"]) if jobs else None


def connected(stack: Stack) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stack.port), timeout=2 * LIMIT_S)


def answered(client: socket.socket) -> tuple[int, dict[str, str]]:
    """The status and the body of the answer on a raw connection."""
    answer = http.client.HTTPResponse(client)
    answer.begin()
    assert answer.getheader("connection") == "close"
    return answer.status, json.loads(answer.read())
