"""HTTP semantics, byte by byte: HTTP/1.0, methods, heads, compression, preferences, negotiation."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from api.gateway import Gateway
from tests.unit.gateway_fakes import IRIS, IRIS_ROW, FakeRedis, FakeWorker, serving
from tests.unit.gateway_sockets import PATIENCE_S, connected, serving_app
from tests.unit.job_stage import job_stage, run_chunks

ROW = json.dumps(IRIS_ROW).encode()
ANSWER = b'{"prediction":"setosa","confidence":5.1,"model_version":"1.0.0"}'
HOST = b"Host: takt\r\n"


@dataclass
class Stage:
    gateway: Gateway
    http: httpx.AsyncClient
    port: int
    job: str
    """A job of six rows that has succeeded."""

    async def send(self, raw: bytes) -> RawResponse:
        """The data received until the gateway closes. Each request here asks for that, or is rejected."""
        async with connected(self.port) as (reader, writer):
            writer.write(raw)
            return RawResponse(await asyncio.wait_for(reader.read(), PATIENCE_S))

    def get(self, path: str, *, method: str = "GET", lines: bytes = HOST, version: str = "1.1") -> bytes:
        filled = path.replace("{job}", self.job)
        return f"{method} {filled} HTTP/{version}\r\n".encode() + lines + b"Connection: close\r\n\r\n"


class RawResponse:
    """A response as it was received."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def prediction(lines: bytes = b"", body: bytes = ROW, path: bytes = b"/predict") -> bytes:
    length = b"Content-Length: %d\r\nConnection: close\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + length + lines + b"\r\n" + body


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    client = FakeRedis()
    async with job_stage(client, tmp_path, max_body_bytes=100_000) as (gateway, http):
        app = http._transport.app  # type: ignore[attr-defined]  # the application that it calls
        async with serving(FakeWorker(client, IRIS), gateway), serving_app(app, gateway) as port:
            made = await http.post("/jobs", json={"model": "iris", "inputs": [IRIS_ROW] * 6})
            await run_chunks(gateway, made.json()["id"])
            yield Stage(gateway, http, port, made.json()["id"])


# -- HTTP/1.0 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/jobs/{job}/results?format=csv", "/jobs/{job}/manifest", "/jobs/{job}/events"]
)
async def test_a_stream_to_a_client_of_http_1_0_has_no_chunks_and_ends_with_its_connection(
    stage: Stage, path: str
) -> None:
    answer = await stage.send(stage.get(path, lines=b"", version="1.0"))
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert "transfer-encoding" not in answer.headers
    whole = await stage.http.get(path.replace("{job}", stage.job))
    assert answer.body.startswith(whole.content[:20])
    assert len(answer.body) == len(whole.content)


async def test_a_client_of_http_1_0_keeps_its_connection_if_it_asks_for_that(stage: Stage) -> None:
    asked = b"GET /health/live HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    async with connected(stage.port) as (reader, writer):
        for _ in range(2):
            writer.write(asked)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
            assert b"connection: keep-alive\r\n" in head
            assert await reader.readexactly(len(b'{"status":"alive"}')) == b'{"status":"alive"}'


async def test_a_client_of_http_1_0_is_never_told_to_continue(stage: Stage) -> None:
    raw = b"POST /predict HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(ROW)
    answer = await stage.send(raw + ROW)
    assert (answer.status, answer.body) == (200, ANSWER)


# -- methods -----------------------------------------------------------------------------------------------

GETS = [
    *(
        "/",
        "/health",
        "/health/live",
        "/models",
        "/models/iris",
        "/model-info",
        "/workers",
        "/lanes",
        "/scaling",
    ),
    *("/metrics", "/jobs", "/jobs/{job}", "/jobs/{job}/results", "/jobs/{job}/results?format=parquet"),
    *(
        "/jobs/{job}/errors",
        "/jobs/{job}/events",
        "/jobs/{job}/manifest",
        "/openapi.json",
        "/docs",
        "/console",
    ),
]


@pytest.mark.parametrize("path", GETS)
async def test_head_is_answered_like_get_without_its_body(stage: Stage, path: str) -> None:
    got = await stage.send(stage.get(path))
    head = await stage.send(stage.get(path, method="HEAD"))
    assert (head.status, head.body) == (got.status, b"")
    vary = {"date", "x-request-id", "transfer-encoding"}
    changing = {"content-length", "etag"} if path in ("/metrics", "/health", "/workers") else set()
    assert {n: v for n, v in head.headers.items() if n not in vary | changing} == {
        n: v for n, v in got.headers.items() if n not in vary | changing
    }


async def test_the_head_of_a_running_jobs_events_does_not_wait_for_its_end(stage: Stage) -> None:
    made = await stage.http.post("/jobs", json={"model": "iris", "inputs": [IRIS_ROW]})
    answer = await stage.send(stage.get(f"/jobs/{made.json()['id']}/events", method="HEAD"))
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/jobs", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/jobs/{job}", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("DELETE", "/health", "GET, HEAD, OPTIONS"),
        ("GET", "/predict", "OPTIONS, POST"),
        ("HEAD", "/predict/batch", "OPTIONS, POST"),
        ("GET", "/jobs/{job}/cancel", "OPTIONS, POST"),
    ],
)
async def test_a_refused_method_is_told_every_method_that_there_is(
    stage: Stage, method: str, path: str, allowed: str
) -> None:
    refused = await stage.send(stage.get(path, method=method))
    assert (refused.status, refused.headers["allow"]) == (405, allowed)
    asked = await stage.send(stage.get(path, method="OPTIONS"))
    assert (asked.status, asked.headers["allow"], asked.body) == (204, allowed, b"")


async def test_options_of_the_whole_server_names_every_method(stage: Stage) -> None:
    answer = await stage.send(stage.get("*", method="OPTIONS"))
    assert (answer.status, answer.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")


async def test_the_front_page_leads_to_the_console(stage: Stage) -> None:
    answer = await stage.send(stage.get("/"))
    assert (answer.status, answer.headers["location"]) == (302, "/console")


# -- heads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["http://takt:8000/health/live", "HTTP://takt/health/live?x=/y", "/health/live/"]
)
async def test_a_target_in_another_form_is_the_same_resource(stage: Stage, target: str) -> None:
    answer = await stage.send(stage.get(target))
    assert (answer.status, answer.body) == (200, b'{"status":"alive"}')


async def test_a_prediction_with_a_slash_too_many_is_no_redirect(stage: Stage) -> None:
    assert (await stage.send(prediction(path=b"/predict/"))).body == ANSWER


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /health/live HTTP/1.1\r\n\r\n", 400),
        (b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-A: b\r\n folded\r\n\r\n", 400),
        (b"GET /health/live HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"get /health/live HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /health/live HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (
            b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST /predict HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /health/live HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 300 + b"\r\n", 431),
        (b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-A: " + b"b" * 70_000, 431),
    ],
)
async def test_a_head_that_is_wrong_is_refused_in_our_words_and_the_connection_closed(
    stage: Stage, raw: bytes, status: int
) -> None:
    answer = await stage.send(raw)
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert set(json.loads(answer.body)) == {"error", "detail", "request_id"}


async def test_an_unknown_expectation_is_417(stage: Stage) -> None:
    assert (await stage.send(stage.get("/health/live", lines=HOST + b"Expect: tea\r\n"))).status == 417


async def test_who_is_refused_before_its_body_is_asked_for_must_connect_again(stage: Stage) -> None:
    """.NET waits for 100 before it sends a body, and may or may not send it after a refusal."""
    head = b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Type: text/csv\r\nContent-Length: 500\r\n"
    answer = await stage.send(head + b"Expect: 100-continue\r\n\r\n")
    assert (answer.status, answer.headers["connection"]) == (415, "close")


# -- bodies that are packed --------------------------------------------------------------------------------


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        (b"gzip", gzip.compress(ROW)),
        (b"X-Gzip", gzip.compress(ROW)),
        (b"deflate", zlib.compress(ROW)),
        (b"deflate", _raw_deflate(ROW)),
        (b"identity", ROW),
    ],
    ids=["gzip", "x-gzip", "zlib", "raw deflate", "identity"],  # gzip's bytes tell the time
)
async def test_a_packed_prediction_is_unpacked(stage: Stage, coding: bytes, packed: bytes) -> None:
    assert (await stage.send(prediction(b"Content-Encoding: %s\r\n" % coding, packed))).body == ANSWER


async def test_a_packed_batch_and_a_packed_job_are_unpacked(stage: Stage) -> None:
    batch = zlib.compress(json.dumps({"inputs": [IRIS_ROW]}).encode())
    answer = await stage.send(prediction(b"Content-Encoding: deflate\r\n", batch, b"/predict/batch"))
    assert json.loads(answer.body)["total_count"] == 1
    job = zlib.compress(json.dumps({"model": "iris", "inputs": [IRIS_ROW]}).encode())
    answer = await stage.send(prediction(b"Content-Encoding: deflate\r\n", job, b"/jobs"))
    assert answer.status == 202


@pytest.mark.parametrize("coding", [b"br", b"gzip, gzip", b"compress"])
async def test_an_unknown_coding_is_415_and_told_which_there_are(stage: Stage, coding: bytes) -> None:
    answer = await stage.send(prediction(b"Content-Encoding: %s\r\n" % coding))
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip, deflate, zstd")


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"zstd"])
async def test_what_is_not_packed_as_it_says_is_422_without_the_words_of_a_library(
    stage: Stage, coding: bytes
) -> None:
    answer = await stage.send(prediction(b"Content-Encoding: %s\r\n" % coding, b"\x01 not packed"))
    assert answer.status == 422
    assert json.loads(answer.body)["detail"][0]["msg"].startswith(f"The body is not {coding.decode()}: it is")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_small_body_that_unpacks_past_the_limit_is_413(stage: Stage, coding: str) -> None:
    blanks = b" " * 50_000_000
    packed = gzip.compress(blanks) if coding == "gzip" else zlib.compress(blanks)
    answer = await stage.send(prediction(b"Content-Encoding: %s\r\n" % coding.encode(), packed))
    assert (answer.status, len(packed) < 100_000) == (413, True)


async def test_a_deflated_body_that_is_cut_off_is_422(stage: Stage) -> None:
    answer = await stage.send(prediction(b"Content-Encoding: deflate\r\n", zlib.compress(ROW)[:-6]))
    assert (answer.status, "cut off" in json.loads(answer.body)["detail"][0]["msg"]) == (422, True)


# -- preferences -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "applied"),
    [
        (b"Prefer: wait=5\r\nPrefer: wait=7\r\n", "wait=5"),
        (b"Prefer: return=minimal\r\nPrefer: wait=7\r\n", "wait=7"),
        (b'Prefer: foo="a, wait=3", wait=8\r\n', "wait=8"),
        (b"Prefer: wait=soon\r\nPrefer: wait=7\r\n", None),
    ],
)
@pytest.mark.parametrize("path", [b"/predict", b"/jobs"])
async def test_several_preferences_are_one_list_and_the_first_of_a_name_counts(
    stage: Stage, lines: bytes, applied: str | None, path: bytes
) -> None:
    body = ROW if path == b"/predict" else json.dumps({"model": "iris", "inputs": [IRIS_ROW]}).encode()
    if path == b"/jobs":  # no worker runs it here, and a gateway does not wait for it while it shuts down
        stage.gateway.lifecycle.drain()
    answer = await stage.send(prediction(lines, body, path))
    assert answer.headers.get("preference-applied") == applied


async def test_respond_async_counts_on_whichever_line_it_stands(stage: Stage) -> None:
    answer = await stage.send(prediction(b"Prefer: return=minimal\r\nPrefer: respond-async\r\n"))
    assert (answer.status, answer.headers["preference-applied"]) == (202, "respond-async")


async def test_a_job_is_waited_for_until_it_ends(stage: Stage) -> None:
    made = await stage.http.post("/jobs", json={"model": "iris", "inputs": [IRIS_ROW]})
    job_id = made.json()["id"]
    asked = asyncio.create_task(stage.send(stage.get(f"/jobs/{job_id}", lines=HOST + b"Prefer: wait=20\r\n")))
    await asyncio.sleep(0)
    await run_chunks(stage.gateway, job_id)
    answer = await asked
    assert (json.loads(answer.body)["state"], answer.headers["preference-applied"]) == (
        "succeeded",
        "wait=20",
    )
    assert "retry-after" not in answer.headers


async def test_a_job_that_does_not_end_is_answered_once_the_time_is_over(stage: Stage) -> None:
    made = await stage.http.post("/jobs", json={"model": "iris", "inputs": [IRIS_ROW]})
    path = f"/jobs/{made.json()['id']}"
    answer = await stage.send(stage.get(path, lines=HOST + b"Prefer: wait=0\r\n"))
    assert (json.loads(answer.body)["state"], answer.headers["preference-applied"]) == ("queued", "wait=0")
    assert answer.headers["retry-after"]


async def test_a_wait_for_a_job_ends_as_the_gateway_is_told_to_stop(stage: Stage) -> None:
    made = await stage.http.post("/jobs", json={"model": "iris", "inputs": [IRIS_ROW]})
    raw = stage.get(f"/jobs/{made.json()['id']}", lines=HOST + b"Prefer: wait=600\r\n")
    asked = asyncio.create_task(stage.send(raw))
    await asyncio.sleep(0)
    stage.gateway.lifecycle.drain()
    answer = await asked
    assert (json.loads(answer.body)["state"], answer.headers["preference-applied"]) == ("queued", "wait=60")


# -- negotiation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "media_type"),
    [
        (
            b"Accept: application/json;q=0.2\r\nAccept: text/csv;q=0.5, */*;q=0.1\r\n",
            "text/csv; charset=utf-8",
        ),
        (b"Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2\r\n", "application/json"),  # Java 8
        (b"Accept: application/json;q=0, */*\r\n", "application/x-ndjson"),
        (b"Accept: text/*\r\n", "text/csv; charset=utf-8"),
        (b"Accept: \r\n", "application/json"),
    ],
)
async def test_a_format_is_chosen_by_all_lines_of_accept(stage: Stage, lines: bytes, media_type: str) -> None:
    answer = await stage.send(stage.get("/jobs/{job}/results", lines=HOST + lines))
    assert (answer.status, answer.headers["content-type"], answer.headers["vary"]) == (
        200,
        media_type,
        "Accept",
    )


@pytest.mark.parametrize("known", [b"*", b'"other", {etag}', b"{etag}", b'"other"\r\nIf-None-Match: {etag}'])
async def test_a_job_that_is_known_is_304_without_a_body(stage: Stage, known: bytes) -> None:
    etag = (await stage.send(stage.get("/jobs/{job}"))).headers["etag"].encode()
    line = b"If-None-Match: " + known.replace(b"{etag}", etag) + b"\r\n"
    answer = await stage.send(stage.get("/jobs/{job}", lines=HOST + line))
    assert (answer.status, answer.body, answer.headers["etag"].encode()) == (304, b"", etag)


async def test_requests_that_come_at_once_are_answered_in_their_order(stage: Stage) -> None:
    first = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
    answer = await stage.send(first + stage.get("/model-info"))
    alive, model = answer.body.find(b"alive"), answer.body.find(b"model_name")
    assert 0 <= alive < model
