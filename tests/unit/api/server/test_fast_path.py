"""The fast path serves single rows without a task, with the same responses as the ASGI path. Real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import Receive, Scope, Send

from api.access.authenticator import KeyAuthenticator
from api.gateway import Gateway
from api.http.request_middleware import RequestMiddleware
from api.routes.predict import Predictions
from api.server.fast_path import MOST_FILE_BYTES
from shared.messages import Entry, EntryFailure, OutputColumn
from shared.spec_files import load_spec
from shared.specs import ModelSpec
from tests.support.access import Holder, holder, keep
from tests.support.callers import stages
from tests.unit.gateway_fakes import (
    IRIS,
    IRIS_ROW,
    FakeRedis,
    FakeWorker,
    Predict,
    echo_first_input,
    running_gateway,
    serving,
    until,
)
from tests.unit.gateway_sockets import GET, answer_of, asked, connected, hello, request, serving_app

LONG_WAY = {"Origin": "http://elsewhere"}
PREDICTED = ("POST", "/predict", "200")
LEFT = ("POST", "/predict", "499")
VISION = Path(__file__).parents[4] / "bench/models/vision"
INFER = "/v2/models/iris/infer"


def tensors(rows: int) -> dict[str, Any]:
    """A request of the inference protocol."""
    data = [[1 + row / 100, 3, 4, 1] for row in range(rows)]
    return {"inputs": [{"name": "all", "datatype": "FP64", "shape": [rows, 4], "data": data}]}


@dataclass
class Served:
    """A gateway on a port. `asgi_paths` lists the paths of the requests that reached its application."""

    gateway: Gateway
    client: FakeRedis
    port: int
    asgi_paths: list[str] = field(default_factory=list)

    def answers(self) -> dict[tuple[str, str, str], int]:
        """The number of counted responses by method, route and status."""
        return {answer: took_s.count for answer, took_s in self.gateway.telemetry.http}

    def failures(self) -> dict[str, int]:
        return dict(self.gateway.catalog.find("iris").counters.failed)


@asynccontextmanager
async def gateway_at(folder: Path, **changes: Any) -> AsyncIterator[Served]:
    """A gateway on a port. A worker is registered, but does not answer."""
    client = FakeRedis()
    async with running_gateway(client, folder, **changes) as (gateway, _):
        app = RequestMiddleware(
            Predictions(hello, gateway),
            gateway.lifecycle,
            gateway.telemetry,
            access_log=gateway.settings.access_log,
        )

        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            served.asgi_paths.append(scope["path"])
            await app(scope, receive, send)

        async with serving_app(counting, gateway) as port:
            served = Served(gateway, client, port)
            await FakeWorker(client, IRIS).beat()
            await gateway.fleet.watch.renew()
            await until(lambda: gateway.queue.up)
            yield served


@asynccontextmanager
async def answering_at(
    folder: Path, predict: Predict = echo_first_input, **changes: Any
) -> AsyncIterator[Served]:
    async with (
        gateway_at(folder, **changes) as served,
        serving(FakeWorker(served.client, IRIS, predict=predict), served.gateway),
    ):
        yield served


async def test_a_row_that_comes_whole_is_answered_without_a_task(tmp_path: Path) -> None:
    async with answering_at(tmp_path) as served:
        answer = await asked(served.port, *request(headers={"X-Request-ID": "mine"}))
    assert (answer.status_code, answer.json()) == (
        200,
        {"prediction": "setosa", "confidence": 5.1, "model_version": "1.0.0"},
    )
    assert answer.headers["x-request-id"] == "mine"
    assert stages(answer)["predict"] == 2.0
    assert served.asgi_paths == []
    assert served.answers() == {PREDICTED: 1}
    counters, times = served.gateway.catalog.find("iris").counters, served.gateway.catalog.find("iris").times
    assert (counters.admitted, times.request_rows.count) == (1, 1)


async def test_tensors_in_a_small_body_are_answered_without_a_task(tmp_path: Path) -> None:
    async with answering_at(tmp_path) as served:
        asked_for = tensors(3) | {"parameters": {"binary_data_output": True}}
        answer = await asked(served.port, *request(INFER, {}, asked_for))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    scores = answer.body[-3 * 8 :]
    assert np.frombuffer(scores, "<f8").tolist() == [1.0, 1.01, 1.02]
    assert served.asgi_paths == []
    assert served.answers() == {("POST", "/v2/models/{model}/infer", "200"): 1}
    counters, times = served.gateway.catalog.find("iris").counters, served.gateway.catalog.find("iris").times
    assert (counters.admitted, times.request_rows.total) == (1, 3)


@pytest.mark.parametrize(
    ("path", "headers", "row"),
    [
        ("/predict", {}, IRIS_ROW),
        ("/models/iris/versions/1.0.0/predict", {"Prefer": "wait=5"}, IRIS_ROW),
        ("/predict", {"Content-Type": "application/geo+json; charset=utf-8"}, IRIS_ROW),
        ("/predict", {"Connection": "close"}, IRIS_ROW),
        ("/predict", {}, {"sepal_length": "long"}),
        ("/predict", {}, IRIS_ROW | {"more": 1}),
        ("/predict", {"Content-Type": "text/plain"}, IRIS_ROW),
        ("/predict", {"Content-Type": "image/jpeg"}, IRIS_ROW),  # the model takes no image
        ("/predict", {"Prefer": "wait=0"}, IRIS_ROW),
        ("/models/nothing/predict", {}, IRIS_ROW),
        ("/models/classifier/predict", {}, {"features": [0.5] * 10}),
        (INFER, {}, tensors(1)),
        (INFER, {}, tensors(100) | {"id": "7"}),  # more than a batch
        (INFER, {}, tensors(2) | {"parameters": {"binary_data_output": True}}),
        ("/v2/models/iris/versions/1.0.0/infer", {"Content-Type": "application/octet-stream"}, tensors(1)),
        (INFER, {}, tensors(1) | {"parameters": {"timeout": 0, "sequence_id": 1}}),
        (INFER, {"Inference-Header-Content-Length": "x"}, tensors(1)),
        (INFER, {"Content-Type": "text/plain"}, tensors(1)),
        (INFER, {}, {}),
        ("/v2/models/nothing/infer", {}, tensors(1)),
    ],
)
async def test_both_ways_give_the_same_answer(
    tmp_path: Path, path: str, headers: dict[str, str], row: object
) -> None:
    async with answering_at(tmp_path) as served:
        same = headers | {"X-Request-ID": "mine"}
        short = await asked(served.port, *request(path, same, row))
        long = await asked(served.port, *request(path, same | LONG_WAY, row))
    varies = {"server-timing": ""}
    assert (short.status_code, short.body) == (long.status_code, long.body)
    assert short.headers | varies == long.headers | varies
    assert list(short.headers) == list(long.headers)


async def test_a_small_image_is_answered_without_a_task(tmp_path: Path) -> None:
    spec = load_spec(VISION / "model.toml")
    example, seen = (VISION / "example.jpg").read_bytes(), []

    def predict(_: ModelSpec, entry: Entry) -> list[OutputColumn]:
        seen.append(entry.columns)
        return [["ok"], [[0.0, 0.0, 0.0, 1.0]]]

    path, large = "/models/vision/predict", example + bytes(MOST_FILE_BYTES)
    async with (
        gateway_at(tmp_path, models_dir=VISION.parent) as served,
        serving(FakeWorker(served.client, spec, predict=predict), served.gateway),
    ):
        for body in (example, b"GIF89a", large):
            same = {
                "Content-Type": "image/jpeg",
                "Content-Length": str(len(body)),
                "X-Request-ID": "mine",
            }
            answers = [await asked(served.port, request(path, same | way)[0], body) for way in ({}, LONG_WAY)]
            assert (answers[0].status_code, answers[0].body) == (answers[1].status_code, answers[1].body)
            assert answers[0].status_code == (200 if body is example else 422)
    assert seen == [[[example]], [[example]]]
    assert served.asgi_paths == [path] * 5, "without a task only the first"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/predict", LONG_WAY),
        ("/predict", {"Expect": "100-continue"}),
        ("/predict", {"Prefer": "respond-async"}),
        ("/predict/batch", {}),
        ("/invocations", {}),
        (INFER, {"Accept-Encoding": "gzip"}),
    ],
)
async def test_what_is_out_of_the_ordinary_takes_the_asgi_path(
    tmp_path: Path, path: str, headers: dict[str, str]
) -> None:
    async with answering_at(tmp_path) as served, connected(served.port) as (_, writer):
        writer.writelines(request(path, headers))
        await until(lambda: served.asgi_paths == [path])


@pytest.mark.parametrize(
    "key",
    [holder("slow", rate="2/day"), holder("few", rows_per_day=2)],
    ids=["requests", "rows"],
)
async def test_a_limited_key_is_refused_past_its_limit(tmp_path: Path, key: Holder) -> None:
    async with answering_at(tmp_path, access="keys") as served:
        await keep(served.client, key)
        assert isinstance(served.gateway.access.authenticator, KeyAuthenticator)
        await served.gateway.access.authenticator.look()
        answers = [await asked(served.port, *request(headers=key.headers)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["error"] == "rate_limited"
    assert int(answers[-1].headers["retry-after"]) > 0
    assert all("ratelimit-policy" in answer.headers for answer in answers)


async def test_a_chunked_body_takes_the_asgi_path(tmp_path: Path) -> None:
    body = json.dumps(IRIS_ROW).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: takt\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with answering_at(tmp_path) as served:
        answer = await asked(served.port, head, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert answer.status_code == 200
        assert served.asgi_paths == ["/predict"]


async def test_a_gateway_that_logs_each_request_takes_the_asgi_path(tmp_path: Path) -> None:
    async with answering_at(tmp_path, access_log=True) as served:
        assert (await asked(served.port, *request())).status_code == 200
        assert served.asgi_paths == ["/predict"]


async def test_a_body_may_come_in_pieces(tmp_path: Path) -> None:
    async with answering_at(tmp_path) as served, connected(served.port) as (reader, writer):
        head, body = request()
        for piece in (head[:30], head[30:], body[:10], body[10:]):
            writer.write(piece)
            await asyncio.sleep(0.01)  # so that each part is a separate segment
        assert (await answer_of(reader)).status_code == 200
        assert served.asgi_paths == []


async def test_a_body_that_stops_is_408_and_let_go(tmp_path: Path) -> None:
    async with (
        gateway_at(tmp_path, head_limit_s=0.2, upload_idle_s=0.2) as served,
        connected(served.port) as (reader, writer),
    ):
        head, body = request()
        writer.write(head + body[:10])
        answer = await answer_of(reader)
        assert (answer.status_code, answer.json()["error"]) == (408, "upload_interrupted")
        assert await reader.read() == b""


async def test_a_client_that_leaves_within_its_body_is_counted_as_left(tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as served:
        async with connected(served.port) as (_, writer):
            head, body = request()
            writer.write(head + body[:10])
            await writer.drain()
        await until(lambda: served.answers() == {LEFT: 1})
        assert served.failures() == {"client_left": 1}


async def test_who_leaves_while_he_waits_is_counted_and_forgotten(tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as served:
        async with connected(served.port) as (_, writer):
            writer.writelines(request())
            await until(lambda: len(served.gateway.online.dispatcher.inflight) == 1)
        await until(lambda: len(served.gateway.online.dispatcher.inflight) == 0)
        assert served.failures() == {"client_left": 1}
        assert served.answers() == {LEFT: 1}


async def test_requests_that_come_at_once_are_answered_in_their_order(tmp_path: Path) -> None:
    lengths = [number / 100 for number in range(1, 150)]
    async with answering_at(tmp_path) as served, connected(served.port) as (reader, writer):
        for length in lengths:
            writer.writelines([*request(row=IRIS_ROW | {"sepal_length": length}), GET])
        for length in lengths:
            assert (await answer_of(reader)).json()["confidence"] == length
            assert (await answer_of(reader)).json() == {}


async def test_a_row_that_the_model_cannot_take_is_its_own_failure(tmp_path: Path) -> None:
    def fail(_spec: ModelSpec, _entry: Entry) -> EntryFailure:
        return EntryFailure("prediction_failed", "too long")

    async with answering_at(tmp_path, fail) as served:
        answer = await asked(served.port, *request(headers={"X-Request-ID": "mine"}))
        assert answer.status_code == 500
        assert answer.json() == {"error": "prediction_failed", "detail": "too long", "request_id": "mine"}
        assert served.failures() == {"prediction_failed": 1}
        assert served.answers() == {("POST", "/predict", "500"): 1}


async def test_an_answer_that_is_not_what_the_spec_says_is_500_and_the_next_is_served(
    tmp_path: Path,
) -> None:
    answers: list[list[OutputColumn]] = [[["setosa"]], [["setosa"], [0.5]]]

    def answer_next(_spec: ModelSpec, _entry: Entry) -> list[OutputColumn]:
        return answers.pop(0)

    async with answering_at(tmp_path, answer_next) as served, connected(served.port) as (reader, writer):
        writer.writelines(request())
        failed = await answer_of(reader)
        assert (failed.status_code, failed.json()["error"]) == (500, "internal_error")
        writer.writelines(request())
        assert (await answer_of(reader)).status_code == 200
        assert served.asgi_paths == []


async def test_past_its_deadline_a_request_is_504(tmp_path: Path) -> None:
    async with gateway_at(tmp_path, default_wait_s=0.2) as served:
        answer = await asked(served.port, *request())
        assert (answer.status_code, answer.json()["error"]) == (504, "deadline_exceeded")
        assert served.failures() == {"deadline_exceeded": 1}


async def test_a_gateway_that_is_being_stopped_asks_its_client_to_connect_elsewhere(tmp_path: Path) -> None:
    async with answering_at(tmp_path) as served, connected(served.port) as (reader, writer):
        served.gateway.lifecycle.drain()
        writer.writelines(request())
        answer = await answer_of(reader)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert await reader.read() == b""


async def test_a_client_of_http_1_0_is_answered_and_let_go(tmp_path: Path) -> None:
    async with answering_at(tmp_path) as served, connected(served.port) as (reader, writer):
        head, body = request()
        writer.write(head.replace(b"HTTP/1.1", b"HTTP/1.0") + body)
        assert (await answer_of(reader)).status_code == 200
        assert await reader.read() == b""
        assert served.asgi_paths == []
