"""MLflow's scoring protocol: each form of rows gets the predictions of `/predict/batch`."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.messages import Entry, EntryFailure, OutputColumn
from shared.specs import ModelSpec
from shared.validation import example_body
from tests.unit.gateway_fakes import (
    CLASSIFIER,
    IRIS,
    QUALITY,
    FakeRedis,
    FakeWorker,
    echo_first_input,
    running_gateway,
    serving,
    until,
)

NAMES = IRIS.input_names
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3, 5.2, 2.3]]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
PREDICTIONS = [{"prediction": "setosa", "confidence": 5.1}, {"prediction": "setosa", "confidence": 6.7}]
FEATURES = [[0.5] * 10, [0.25] * 10]
PART = example_body(QUALITY)


def predict(spec: ModelSpec, entry: Entry) -> list[OutputColumn] | EntryFailure:
    if spec is QUALITY:  # its first input is a text
        return [["ok"] * entry.rows, [0.75] * entry.rows, [[0.75, 0.25]] * entry.rows]
    return echo_first_input(spec, entry)


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    """A gateway with Redis, and a function that adds a worker which answers with each row's first input."""
    client = FakeRedis()
    async with running_gateway(client, tmp_path, max_body_bytes=100_000) as (gateway, http):
        await until(lambda: gateway.queue.up)
        yield http, lambda: serving(FakeWorker(client, IRIS, CLASSIFIER, QUALITY, predict=predict), gateway)


@pytest.fixture
async def http(idle: tuple[httpx.AsyncClient, Any]) -> AsyncIterator[httpx.AsyncClient]:
    async with idle[1]():
        yield idle[0]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": NAMES, "index": [7, 8], "data": ROWS}},
        {"dataframe_split": {"columns": [*NAMES[::-1]], "data": [row[::-1] for row in ROWS]}},
        {"dataframe_split": {"columns": [*NAMES, "note"], "data": [[*row, "x"] for row in ROWS]}},
        {"dataframe_split": {"data": ROWS}},
        {"dataframe_records": RECORDS},
        {"instances": ROWS},
        {"instances": RECORDS},
        {"inputs": ROWS},
        {"inputs": {name: [row[place] for row in ROWS] for place, name in enumerate(NAMES)}},
        {"inputs": ROWS, "params": {"temperature": 0.5}},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/invocations", "/models/iris/invocations"])
async def test_each_form_of_json_is_answered_with_the_outputs_of_every_row(
    http: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"predictions": PREDICTIONS}
    assert answer.headers["x-model-version"] == "1.0.0"


async def test_csv_and_parquet_are_read_like_the_files_of_jobs(http: httpx.AsyncClient) -> None:
    csv = "\n".join([",".join([*NAMES, "note"]), *(",".join([*map(str, row), "x"]) for row in ROWS)])
    answer = await http.post("/invocations", content=csv, headers={"content-type": "text/csv; charset=utf-8"})
    assert answer.json() == {"predictions": PREDICTIONS}
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(RECORDS), sink)
    kind = {"content-type": "application/vnd.apache.parquet"}
    answer = await http.post("/invocations", content=sink.getvalue(), headers=kind)
    assert answer.json() == {"predictions": PREDICTIONS}


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": FEATURES},
        {"instances": FEATURES},
        {"dataframe_records": [{"features": row} for row in FEATURES]},
        {
            "dataframe_split": {
                "columns": [f"features_{place}" for place in range(10)],
                "data": FEATURES,
            }
        },
    ],
    ids=str,
)
async def test_a_tensor_is_a_value_of_its_row_or_a_column_for_each_number(
    http: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    answer = await http.post("/models/classifier/invocations", json=body)
    assert answer.status_code == 200, answer.text
    assert [row["probabilities"] for row in answer.json()["predictions"]] == FEATURES


async def test_nan_is_a_missing_value_and_a_float_may_be_a_whole_number(
    http: httpx.AsyncClient,
) -> None:
    row = PART | {"torque_nm": float("nan"), "operators": 2.0, "resin_lot": None}
    absent = {name: value for name, value in PART.items() if name != "torque_nm"}
    body = json.dumps({"dataframe_records": [row, absent]})
    assert "NaN" in body
    answer = await http.post(
        "/models/quality/invocations", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([1, 2], "exactly one of: dataframe_split, dataframe_records, instances, inputs"),
        ({}, "exactly one of"),
        ({"inputs": ROWS, "instances": ROWS}, "exactly one of"),
        ({"inputs": []}, "has no rows"),
        ({"instances": 5}, "does not have the form"),
        ({"dataframe_split": {"columns": NAMES}}, "does not have the form"),
        (
            {"dataframe_split": {"columns": NAMES, "data": [[1, 2]]}},
            "Row 0: A row of `data` must be a list",
        ),
        ({"dataframe_split": {"columns": [1], "data": [[1]]}}, "must be a list of names"),
        ({"dataframe_records": [RECORDS[0], 5]}, "Row 1: `dataframe_records` mixes"),
        ({"dataframe_records": [{"sepal_lenght": 1}]}, "Did you mean"),
        ({"inputs": {name: [1, 2] if name == NAMES[0] else [1] for name in NAMES}}, "differ in length"),
        ({"inputs": dict.fromkeys(NAMES, 1)}, "a list of values for each column"),
        ({"inputs": [[1, 2, 3]]}, "Row 0: A row of `inputs` must be a list of 4 values"),
        ({"inputs": [[1, 2, 3, 11]]}, "Row 0, input 'petal_width': Input should be less than or equal to 10"),
        ({"inputs": [[1, 2, 3, "x"]]}, "Row 0, input 'petal_width'"),
    ],
    ids=str,
)
async def test_an_error_has_the_form_of_mlflow(http: httpx.AsyncClient, body: Any, reason: str) -> None:
    answer = await http.post("/invocations", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert reason in answer.json()["message"]


@pytest.mark.parametrize(
    ("content", "content_type", "status", "reason"),
    [
        (b"{", "application/json", 400, "The body is not JSON"),
        (b"[" * 50_000 + b"NaN", "application/json", 400, "nested too deeply"),
        (b"a,b\n1,2\n", "text/csv", 400, "is missing"),
        (b",".join(name.encode() for name in NAMES) + b"\n", "text/csv", 400, "no row"),
        (b",".join(name.encode() for name in NAMES) + b"\n1,2,3,11\n", "text/csv", 400, "Row 0"),
        (b"{}", "application/xml", 415, "Unsupported media type"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_with_the_reason(
    http: httpx.AsyncClient, content: bytes, content_type: str, status: int, reason: str
) -> None:
    answer = await http.post("/invocations", content=content, headers={"content-type": content_type})
    assert answer.status_code == status
    assert reason in answer.json()["message"]


async def test_more_rows_than_a_request_may_have_are_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/invocations", json={"inputs": [[1, 1, 1, 1]] * 1001})
    assert (answer.status_code, answer.json()["error_code"]) == (413, "BAD_REQUEST")
    csv = ",".join(NAMES) + "\n" + "1,1,1,1\n" * 1001
    answer = await http.post("/invocations", content=csv, headers={"content-type": "text/csv"})
    assert answer.status_code == 413


async def test_the_only_output_is_a_bare_value(tmp_path: Path) -> None:
    from api.online.prediction import Prediction
    from api.routes.scoring import _render
    from tests.unit.api.inference_protocol.test_infer_inputs import servable_of

    prediction = Prediction(servable_of(type="float"), True, None, 1)
    assert _render(prediction, [[1.5, 2.5]]) == b'{"predictions":[1.5,2.5]}'


async def test_ping_follows_readiness(idle: tuple[httpx.AsyncClient, Any]) -> None:
    http, serving_worker = idle
    assert (await http.get("/ping")).status_code == 503
    unready = await http.post("/invocations", json={"inputs": ROWS})
    assert (unready.status_code, unready.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    async with serving_worker():
        answer = await http.get("/ping")
        assert (answer.status_code, answer.content) == (200, b"")
    assert (await http.get("/version")).text == "0.1.0"


async def test_batch_transform_may_send_what_the_settings_permit(http: httpx.AsyncClient) -> None:
    assert (await http.get("/execution-parameters")).json() == {
        "MaxConcurrentTransforms": 20,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 1,
    }
