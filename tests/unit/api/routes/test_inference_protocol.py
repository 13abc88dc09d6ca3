"""The Open Inference Protocol over REST: calls, bodies, errors, as its clients send and read them."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api.gateway import Gateway
from api.inference_protocol.wire_tensors import pack_texts
from shared.messages import AnswerColumn, Entry, EntryFailure
from shared.specs import ModelSpec
from tests.unit.gateway_fakes import (
    CLASSIFIER,
    IRIS,
    IRIS_KEY,
    QUALITY,
    FakeRedis,
    FakeWorker,
    echo_first_input,
    running_gateway,
    serving,
    until,
)

IRIS_INFER, CLASSIFIER_INFER = "/v2/models/iris/infer", "/v2/models/classifier/infer"
ROWS = np.random.default_rng(3).uniform(0, 1, (64, 10)).astype("<f4")


@dataclass
class Stage:
    gateway: Gateway
    http: httpx.AsyncClient
    worker: FakeWorker


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[Stage]:
    """A gateway with Redis and without a worker."""
    client = FakeRedis()
    async with running_gateway(client, tmp_path, max_body_bytes=100_000, default_wait_s=5) as (gateway, http):
        await until(lambda: gateway.queue.up)
        yield Stage(gateway, http, FakeWorker(client, IRIS, CLASSIFIER))


@pytest.fixture
async def stage(idle: Stage) -> AsyncIterator[Stage]:
    """A gateway and a worker that answers with each row's first input."""
    async with serving(idle.worker, idle.gateway):
        yield idle


def iris(*rows: list[float], **more: Any) -> dict[str, Any]:
    tensor = {"name": "input-0", "shape": [len(rows), 4], "datatype": "FP64", "data": list(rows)}
    return {"inputs": [tensor]} | more


def binary_body(head: dict[str, Any], *data: bytes) -> tuple[bytes, dict[str, str]]:
    """A body with binary tensors, and its header."""
    text = json.dumps(head).encode()
    return b"".join([text, *data]), {"inference-header-content-length": str(len(text))}


def classifier_body(rows: np.ndarray[Any, Any] = ROWS, **more: Any) -> tuple[bytes, dict[str, str]]:
    tensor = {
        "name": "features",
        "shape": list(rows.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": rows.nbytes},
    }
    return binary_body({"inputs": [tensor]} | more, rows.tobytes())


def in_binary(column: AnswerColumn, dtype: str) -> bytes:
    return np.array(column, dtype).tobytes()


def outputs_of(answer: httpx.Response) -> dict[str, Any]:
    """The data of the outputs by name, of either form."""
    assert answer.status_code == 200, answer.text
    length = answer.headers.get("inference-header-content-length")
    text = answer.content if length is None else answer.content[: int(length)]
    rest = b"" if length is None else answer.content[int(length) :]
    found: dict[str, Any] = {}
    for output in json.loads(text)["outputs"]:
        if "data" in output:
            found[output["name"]] = output["data"]
            continue
        size = output["parameters"]["binary_data_size"]
        found[output["name"]], rest = rest[:size], rest[size:]
    assert rest == b""
    return found


# -- the server and its models ----------------------------------------------------------------------------


async def test_the_server_lists_its_extensions_and_its_health(stage: Stage) -> None:
    server = (await stage.http.get("/v2")).json()
    assert server["name"] == "takt"
    assert "binary_tensor_data" in server["extensions"]
    assert "model_repository" in server["extensions"]
    assert (await stage.http.get("/v2/health/live")).json() == {"live": True}
    assert (await stage.http.get("/v2/health/ready")).json() == {"live": True, "ready": True}
    assert (await stage.http.get("/v2/models/iris/versions/1.0.0/ready")).json()["ready"] is True


async def test_ready_means_that_a_live_worker_holds_the_model(idle: Stage) -> None:
    for path in ("/v2/health/ready", "/v2/models/iris/ready"):
        answer = await idle.http.get(path)
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
    (state,) = [
        each for each in (await idle.http.post("/v2/repository/index")).json() if each["name"] == "iris"
    ]
    assert state["state"] == "UNAVAILABLE"
    assert (await idle.http.post("/v2/repository/index", json={"ready": True})).json() == []
    async with serving(idle.worker, idle.gateway):
        assert (await idle.http.get("/v2/models/iris/ready")).status_code == 200
        ready = (await idle.http.post("/v2/repository/index", content=b'{"ready": true}')).json()
        assert {each["name"] for each in ready} == {"iris", "classifier"}


async def test_metadata_and_configuration_of_a_version(stage: Stage) -> None:
    found = (await stage.http.get("/v2/models/classifier/versions/1.0.0")).json()
    assert found["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 10]}]
    assert found["versions"] == ["1.0.0"]
    config = (await stage.http.get("/v2/models/classifier/config")).json()
    assert (config["max_batch_size"], config["dynamic_batching"]) == (1000, {})
    assert not {"sequence_batching", "ensemble_scheduling"} & config.keys()


async def test_statistics_count_rows_and_failures(stage: Stage) -> None:
    await stage.http.post(IRIS_INFER, json=iris([5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]))
    await stage.http.post(IRIS_INFER, json=iris([5.1, 3.5, 1.4, 99]))
    for path in ("/v2/models/iris/stats", "/v2/models/iris/versions/1.0.0/stats"):
        (found,) = (await stage.http.get(path)).json()["model_stats"]
        times = found["inference_stats"]
        assert (found["inference_count"], times["success"]["count"], times["fail"]["count"]) == (2, 1, 1)
        assert found["last_inference"] > 1_600_000_000_000
        assert times["success"]["ns"] >= times["compute_infer"]["ns"] > 0
    names = {each["name"] for each in (await stage.http.get("/v2/models/stats")).json()["model_stats"]}
    assert {"iris", "classifier"} <= names


# -- inference --------------------------------------------------------------------------------------------


async def test_json_in_and_out_with_the_id_of_the_request(stage: Stage) -> None:
    answer = await stage.http.post(
        IRIS_INFER, json=iris([5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], id="a-7")
    )
    assert answer.json() == {
        "model_name": "iris",
        "model_version": "1.0.0",
        "id": "a-7",
        "outputs": [
            {"name": "prediction", "datatype": "BYTES", "shape": [2, 1], "data": ["setosa", "setosa"]},
            {"name": "confidence", "datatype": "FP64", "shape": [2, 1], "data": [5.1, 6.7]},
        ],
    }
    assert answer.headers["x-model-version"] == "1.0.0"
    assert "predict;dur=" in answer.headers["server-timing"]
    assert "id" not in (await stage.http.post(IRIS_INFER, json=iris([1, 1, 1, 1]))).json()


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/json", None])
async def test_binary_tensors_in_and_out(stage: Stage, content_type: str | None) -> None:
    body, headers = classifier_body(parameters={"binary_data_output": True})
    more = {"content-type": content_type} if content_type else {}
    answer = await stage.http.post(CLASSIFIER_INFER, content=body, headers=headers | more)
    found = outputs_of(answer)
    assert np.frombuffer(found["predicted_class"], "<i8").tolist() == [2] * 64
    assert np.array_equal(np.frombuffer(found["probabilities"], "<f8").reshape(64, 10), ROWS.astype("<f8"))


async def test_each_output_may_have_a_form_of_its_own(stage: Stage) -> None:
    outputs = [
        {"name": "probabilities", "parameters": {"classification": 1}},
        {"name": "predicted_class", "parameters": {"binary_data": True}},
    ]
    body, headers = classifier_body(ROWS[:2], outputs=outputs)
    found = outputs_of(await stage.http.post(CLASSIFIER_INFER, content=body, headers=headers))
    assert list(found) == ["probabilities", "predicted_class"]
    assert [text.split(":")[1] for text in found["probabilities"]] == [
        str(i) for i in ROWS[:2].argmax(axis=1)
    ]
    assert found["predicted_class"] == np.array([2, 2], "<i8").tobytes()


async def test_nan_in_json_is_a_number_that_is_not_finite(stage: Stage) -> None:
    text = json.dumps(iris([1, 1, 1, float("nan")]))
    answer = await stage.http.post(IRIS_INFER, content=text)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Row 0, input 'petal_width': Input should be a finite number."


async def test_labels_in_binary_have_their_length_before_them(stage: Stage) -> None:
    asked = iris([1, 1, 1, 1], [2, 2, 2, 2], parameters={"binary_data_output": True})
    found = outputs_of(await stage.http.post(IRIS_INFER, json=asked))
    assert found["prediction"] == pack_texts(["setosa", "setosa"])


async def test_a_request_larger_than_a_batch_comes_back_in_order(stage: Stage) -> None:
    rows = np.random.default_rng(4).uniform(0, 1, (1000, 10)).astype("<f4")
    body, headers = classifier_body(rows, parameters={"binary_data_output": True})
    found = outputs_of(await stage.http.post(CLASSIFIER_INFER, content=body, headers=headers))
    assert np.array_equal(np.frombuffer(found["probabilities"], "<f8"), rows.astype("<f8").ravel())


@pytest.mark.parametrize("binary_parts", [range(4), (0, 2)], ids=["all parts", "some parts"])
async def test_workers_may_answer_in_binary_and_those_of_an_earlier_version_do_not(
    idle: Stage, binary_parts: Collection[int]
) -> None:
    def predict(spec: ModelSpec, entry: Entry) -> list[AnswerColumn]:
        assert entry.binary_outputs
        plain: list[AnswerColumn] = [*echo_first_input(spec, entry)]
        return [*map(in_binary, plain, ("<i8", "<f8"))] if entry.part in binary_parts else plain

    rows = np.random.default_rng(4).uniform(0, 1, (1000, 10)).astype("<f4")
    body, headers = classifier_body(rows, parameters={"binary_data_output": True})
    async with serving(FakeWorker(idle.worker.client, CLASSIFIER, predict=predict), idle.gateway):
        answer = await idle.http.post(CLASSIFIER_INFER, content=body, headers=headers)
    found = outputs_of(answer)
    assert found["predicted_class"] == np.full(1000, 2, "<i8").tobytes()
    assert found["probabilities"] == rows.astype("<f8").tobytes()
    head = json.loads(answer.content[: int(answer.headers["inference-header-content-length"])])
    assert [output["shape"] for output in head["outputs"]] == [[1000, 1], [1000, 10]]


async def test_outputs_in_json_and_those_for_a_shadow_are_plain_values(idle: Stage) -> None:
    def predict(spec: ModelSpec, entry: Entry) -> list[AnswerColumn]:
        asked.append(entry.binary_outputs)
        return [*echo_first_input(spec, entry)]

    asked: list[bool] = []
    inflight = idle.gateway.online.dispatcher.inflight
    async with serving(FakeWorker(idle.worker.client, CLASSIFIER, predict=predict), idle.gateway):
        for has_shadow, in_binary_form in ((False, True), (False, False), (True, True)):
            inflight.on_answer = (lambda *_: None) if has_shadow else None
            body, headers = classifier_body(parameters={"binary_data_output": in_binary_form})
            outputs_of(await idle.http.post(CLASSIFIER_INFER, content=body, headers=headers))
    assert asked == [True, False, False]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_bodies_may_be_compressed_both_ways(stage: Stage, coding: str) -> None:
    body, headers = classifier_body(parameters={"binary_data_output": True})
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    headers |= {"content-encoding": coding, "accept-encoding": coding}
    answer = await stage.http.post(CLASSIFIER_INFER, content=packed, headers=headers)
    assert answer.headers["content-encoding"] == coding
    assert len(outputs_of(answer)["probabilities"]) == 64 * 10 * 8


async def test_a_response_is_compressed_on_request_only(stage: Stage) -> None:
    body, headers = classifier_body()
    plain = await stage.http.post(
        CLASSIFIER_INFER, content=body, headers=headers | {"accept-encoding": "identity, gzip;q=0"}
    )
    assert "content-encoding" not in plain.headers


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/v2/models/nope/infer", iris([1, 1, 1, 1]), 404, "There is no model 'nope'"),
        ("/v2/models/iris/versions/9.9.9/infer", iris([1, 1, 1, 1]), 404, "no version '9.9.9'"),
        (IRIS_INFER, iris([1, 1, 1, 11]), 400, "Row 0, input 'petal_width'"),
        (IRIS_INFER, {}, 400, "field 'inputs' is missing"),
        (IRIS_INFER, {"inputs": [{"name": 5}]}, 400, "at inputs[0].name"),
        (IRIS_INFER, iris([1, 1, 1, 1], outputs=[{"name": "x"}]), 400, "no output 'x'"),
        (IRIS_INFER, iris([1, 1, 1, 1], parameters={"timeout": -1}), 400, "'timeout' must be a whole number"),
        (IRIS_INFER, iris([1, 1, 1, 1], parameters={"priority": "high"}), 400, "'priority'"),
        (IRIS_INFER, iris([1, 1, 1, 1], parameters={"sequence_id": 3}), 400, "keep no state"),
        (IRIS_INFER, iris([1, 1, 1, 1], parameters={"binary_data_output": 1}), 400, "true or false"),
        (
            IRIS_INFER,
            {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64"}]},
            400,
            "neither `data` nor the parameter",
        ),
        (
            IRIS_INFER,
            {
                "inputs": [
                    {
                        "name": "x",
                        "shape": [1],
                        "datatype": "FP64",
                        "parameters": {"shared_memory_region": "a"},
                    }
                ]
            },
            400,
            "shared memory",
        ),
    ],
)
async def test_an_error_is_a_sentence_with_its_code(
    stage: Stage, path: str, body: dict[str, Any], status: int, reason: str
) -> None:
    answer = await stage.http.post(path, json=body)
    assert answer.status_code == status
    assert reason in answer.json()["error"]
    assert answer.json()["parameters"]["code"] in ("validation_error", "model_not_found")


@pytest.mark.parametrize(
    ("content", "headers", "status", "reason"),
    [
        (b"{", {}, 400, "not JSON"),
        (b'{"inputs": [NaN', {}, 400, "not JSON"),
        (b"[" * 100_000, {"content-type": "application/json"}, 400, "The request is invalid"),
        (b"PK\x03\x04", {}, 400, "it is"),
        (
            b"{}",
            {"inference-header-content-length": "3"},
            400,
            "must be a number of bytes up to the body's 2",
        ),
        (b"{}", {"inference-header-content-length": "x"}, 400, "must be a number of bytes"),
        (b"{}", {"content-type": "text/plain"}, 415, "application/octet-stream"),
        (b"{}", {"content-encoding": "br"}, 415, "Unsupported Content-Encoding"),
        (b"x" * 200_000, {}, 413, "larger than 100000 bytes"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_with_the_reason(
    stage: Stage, content: bytes, headers: dict[str, str], status: int, reason: str
) -> None:
    answer = await stage.http.post(IRIS_INFER, content=content, headers=headers)
    assert answer.status_code == status
    assert reason in answer.json()["error"]


@pytest.mark.parametrize("size", [-4, 4])
async def test_binary_data_of_another_size_than_declared_is_refused(stage: Stage, size: int) -> None:
    body, headers = classifier_body()
    content = body[:size] if size < 0 else body + b"\0" * size
    answer = await stage.http.post(CLASSIFIER_INFER, content=content, headers=headers)
    assert answer.status_code == 400
    assert "bytes" in answer.json()["error"]


async def test_without_a_worker_the_answer_is_503_with_retry_after(idle: Stage) -> None:
    answer = await idle.http.post(IRIS_INFER, json=iris([1, 1, 1, 1]))
    assert (answer.status_code, answer.json()["parameters"]["code"]) == (503, "model_not_loaded")
    assert int(answer.headers["retry-after"]) >= 1


async def test_the_timeout_of_the_request_is_its_wait(idle: Stage) -> None:
    await idle.worker.beat()
    await idle.gateway.fleet.watch.renew()
    asked = iris([1, 1, 1, 1], parameters={"timeout": 150_000})
    answer = await asyncio.wait_for(idle.http.post(IRIS_INFER, json=asked), 4)
    assert (answer.status_code, answer.json()["parameters"]["code"]) == (504, "deadline_exceeded")
    await idle.worker.nothing_waits(IRIS_KEY)


async def test_a_failing_model_is_500_with_its_reason(tmp_path: Path) -> None:
    client = FakeRedis()
    async with running_gateway(client, tmp_path) as (gateway, http):
        failing = FakeWorker(client, IRIS, predict=lambda *_: EntryFailure("prediction_failed", "It broke."))
        async with serving(failing, gateway):
            answer = await http.post(IRIS_INFER, json=iris([1, 1, 1, 1]))
    assert (answer.status_code, answer.json()["error"]) == (500, "It broke.")


async def test_other_methods_are_refused_in_the_protocols_form(stage: Stage) -> None:
    for method, path in (("GET", IRIS_INFER), ("POST", "/v2/models/iris")):
        answer = await stage.http.request(method, path)
        assert answer.status_code == 405
        assert isinstance(answer.json()["error"], str)
    assert (await stage.http.options(IRIS_INFER)).headers["allow"] == "OPTIONS, POST"


async def test_http_metrics_name_the_route(stage: Stage) -> None:
    await stage.http.post(IRIS_INFER, json=iris([1, 1, 1, 1]))
    text = (await stage.http.get("/metrics")).text
    assert 'route="/v2/models/{model}/infer",status="200"' in text
    assert QUALITY.name in text
