"""Clients of Triton, KServe, MLServer and MLflow get the values of `/predict` from the models they find."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.environments import python_of
from tests.support.polling import eventually
from tests.support.servers import Server, free_port
from tests.support.stack import ROOT, STARTS_S, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.tools, pytest.mark.timeout(900)]

PROGRAMS = Path(__file__).with_name("programs")
PHOTO = base64.b64encode((ROOT / "bench/models/vision/example.jpg").read_bytes()).decode()
PART = {
    "machine": "IM-07",
    "product": "gear",
    "shift": "night",
    "resin_lot": "C",
    "melt_temperature_c": 248.0,
    "mold_temperature_c": None,
    "torque_nm": 61.5,
    "pressure_bar": 1010.0,
    "cycle_time_s": 29.8,
    "operators": 1,
    "maintenance_due": True,
    "produced_at": "2026-03-02T23:15:00Z",
}
GRPC_PORT = free_port()
ROWS: dict[str, list[dict[str, Any]]] = {
    "iris": [
        {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2},
        {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.3},
        {"sepal_length": 5.8, "sepal_width": 2.7, "petal_length": 4.1, "petal_width": 1.0},
    ],
    "classifier": [{"features": [0.5, -0.25, 1, 0, 0.125, 2, -1, 0.75, 0.5, 0.25]}, {"features": [0.5] * 10}],
    "quality": [PART, PART | {"product": "housing", "maintenance_due": False, "operators": 3}],
    "sensor": [{"temperature": 20.5, "rotations": 1500}, {"temperature": 90.25, "rotations": 10}],
    "vision": [{"photo": PHOTO}, {"photo": PHOTO}],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped models, an image model, and a model with two outputs; all built."""
    from shared.repository import open_repository
    from worker.models.build import build_model

    folder = tmp_path_factory.mktemp("models")
    built = shutil.ignore_patterns("[0-9]*.[0-9]*")
    for source in ("models/iris", "models/classifier", "models/quality", "bench/models/vision"):
        shutil.copytree(ROOT / source, folder / Path(source).name, ignore=built)
    shutil.copytree(Path(__file__).with_name("models") / "sensor", folder / "sensor")
    for name in ROWS:
        build_model(open_repository(folder), name)
    return folder


@pytest.fixture(scope="module")
def stack(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(queue.url, tmp_path_factory.mktemp("stack"), models_dir=str(models)) as started:
        started.gateway(grpc_port=str(GRPC_PORT))
        started.worker("w1")
        wait_until_ready(started)
        eventually(lambda: started.serves("w1"), limit_s=STARTS_S)
        yield started


@pytest.fixture(scope="module")
def expected(stack: Stack) -> dict[str, dict[str, list[Any]]]:
    """By model and output: the values of `/predict/batch`, each row as a list."""
    with stack.client() as http:
        return {model: _columns(http, model, rows) for model, rows in ROWS.items()}


def _columns(http: httpx.Client, model: str, rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    answer = http.post(f"/models/{model}/predict/batch", json={"inputs": rows})
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    return {
        name: [row[name] if isinstance(row[name], list) else [row[name]] for row in results]
        for name in results[0]
    }


def run(client: str, program: str, stack: Stack, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """What a client's program reports."""
    with stack.client() as http:
        metadata = {model: http.get(f"/v2/models/{model}").json() for model in ROWS}
    rows = ROWS | {"vision": [{"photo": {"base64": row["photo"]}} for row in ROWS["vision"]]}
    case = {
        "address": stack.url.removeprefix("http://"),
        "grpc": f"127.0.0.1:{GRPC_PORT}",
        "headers": headers or {},
        "models": rows,
        "metadata": metadata,
        "binary_only": ["vision"],
    }
    done = subprocess.run(
        [python_of(client), PROGRAMS / f"{program}.py"],
        input=json.dumps(case),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def assert_equal(found: dict[str, Any], expected: dict[str, dict[str, list[Any]]], models: set[str]) -> None:
    assert set(found["answers"]) == models
    for model, forms in found["answers"].items():
        for form, outputs in forms.items():
            assert outputs == expected[model], (model, form)


def test_tritonclient(stack: Stack, expected: dict[str, Any]) -> None:
    found = run("triton", "triton_http", stack)
    assert_equal(found, expected, set(ROWS))
    assert found["live"] is found["ready"] is found["unloaded"] is found["loaded"] is True
    assert {each["name"]: each["state"] for each in found["index"]} == dict.fromkeys(ROWS, "READY")
    assert found["async"] == [expected["iris"]["prediction"]] * 3
    assert [text.split(":")[2] for (text,) in found["classification"]] == [
        label for (label,) in expected["quality"]["prediction"]
    ]
    assert {name: status for name, (status, _) in found["errors"].items()} == {
        "model": "404",
        "range": "400",
        "load": "400",
        "output": "400",
    }
    assert found["errors"]["range"][1].startswith("Row 0, input 'petal_width': Input should be less than")


def test_tritonclient_with_asyncio(stack: Stack, expected: dict[str, Any]) -> None:
    assert_equal(run("triton", "triton_http_aio", stack), expected, set(ROWS))


def test_kserves_client(stack: Stack, expected: dict[str, Any]) -> None:
    found = run("kserve", "kserve_rest", stack)
    assert_equal(found, expected, set(ROWS))
    assert found["live"] is found["ready"] is True
    assert "nope" in found["errors"]["model"][1]


def test_mlservers_codecs(stack: Stack, expected: dict[str, Any]) -> None:
    assert_equal(run("mlserver", "mlserver_codecs", stack), expected, set(ROWS) - {"vision"})


def test_tritonclient_over_grpc(stack: Stack, expected: dict[str, Any]) -> None:
    found = run("triton", "triton_grpc", stack)
    assert_equal(found, expected, set(ROWS))
    assert found["live"] is found["ready"] is found["unloaded"] is found["loaded"] is True
    labels = expected["iris"]["prediction"]
    assert found["callback"] == labels
    assert found["stream"] == found["asyncio"] == [labels] * 3
    assert {name: status for name, (status, _) in found["errors"].items()} == {
        "model": "StatusCode.NOT_FOUND",
        "range": "StatusCode.INVALID_ARGUMENT",
        "load": "StatusCode.INVALID_ARGUMENT",
    }


def test_kserves_client_over_grpc(stack: Stack, expected: dict[str, Any]) -> None:
    found = run("kserve", "kserve_grpc", stack)
    assert_equal(found, expected, set(ROWS))
    assert found["live"] is True


def test_mlflows_client(stack: Stack, expected: dict[str, Any]) -> None:
    found = run("mlflow", "mlflow_scoring", stack)
    assert found["default"] == [_records(expected["iris"])] * 3
    assert set(found["answers"]) == set(ROWS) - {"vision"}
    for model, forms in found["answers"].items():
        for form, records in forms.items():
            assert records == _records(expected[model]), (model, form)
    assert "BAD_REQUEST" in found["error"]
    assert "Row 0, input 'petal_width'" in found["error"]


def _records(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    rows = zip(*columns.values(), strict=True)
    values = [[value[0] if len(value) == 1 else value for value in row] for row in rows]
    return [dict(zip(columns, row, strict=True)) for row in values]
