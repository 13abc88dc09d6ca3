"""The list in docs/models.md: each artifact is built, verified, served, and answers as in this process."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from shared.columns import Array
from shared.settings import environment
from tests.support.bodies import ARROW
from tests.support.callers import batch_results, finished, handed_over, job_results
from tests.support.documents import ROOT
from tests.support.frameworks import needs
from tests.support.polling import eventually
from tests.support.served_models import CLASSES, ROWS, Made, write_served_model
from tests.support.served_models import MODELS as ESTIMATORS
from tests.support.served_networks import NETWORKS
from tests.support.servers import Server
from tests.support.stack import STARTS_S, Stack, running

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    needs("catboost", "lightgbm", "mlflow", "onnxruntime", "skl2onnx", "skops", "xgboost"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

_ROW = re.compile(r"^- `([a-z-]+)`: (.*?)(?:;.*)?$", re.MULTILINE)
TABLE = _ROW.findall((ROOT / "docs" / "models.md").read_text(encoding="utf-8"))
MODELS = ESTIMATORS | NETWORKS
NAMES = {row: f"m{number}-{row[0]}" for number, row in enumerate(TABLE)}
SOME = np.round(ROWS[::4] * 1.01, 3)
"""Rows beside those of the training."""


def test_the_table_has_a_model_for_each_row_and_each_framework() -> None:
    from shared.frameworks import known_frameworks

    assert set(TABLE) == MODELS.keys()
    assert {framework for framework, _ in TABLE} == set(known_frameworks())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, Made]:
    """All models, built and verified by the worker's own commands."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        models = {name: write_served_model(folder, name, row[0], MODELS[row]) for row, name in NAMES.items()}
    for command in ("build", "verify"):
        lines = worker_command(command, folder)
        assert {line["model"]: line.get("reason") for line in lines} == dict.fromkeys(models), command
        assert not any(line["warnings"] for line in lines), command
    return models


def worker_command(command: str, folder: Path) -> list[dict[str, Any]]:
    found = subprocess.run(
        [sys.executable, "-m", "worker", command],
        cwd=ROOT,
        env=environment({"models_dir": str(folder)}),
        capture_output=True,
        text=True,
        check=False,
    )
    return [json.loads(line) for line in found.stdout.splitlines()]


@pytest.fixture(scope="module")
def table_stack(
    queue: Server, folder: Path, made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    settings = {"models_dir": str(folder), "default_model": next(iter(made))}
    with running(queue.url, tmp_path_factory.mktemp("stack"), **settings) as stack:
        stack.gateway()
        stack.worker("w")
        with stack.client() as http:
            eventually(lambda: all(serves(http, name) for name in made), limit_s=6 * STARTS_S, every_s=0.2)
        yield stack


def serves(http: httpx.Client, model: str) -> bool:
    found = http.get(f"/models/{model}")
    return found.is_success and any(one["state"] == "loaded" for one in found.json()["workers"])


@pytest.fixture(scope="module")
def http(table_stack: Stack) -> Iterator[httpx.Client]:
    with table_stack.client() as client:
        yield client


@pytest.fixture(params=TABLE, ids=lambda row: NAMES[row])
def model(request: pytest.FixtureRequest) -> str:
    return NAMES[request.param]


def in_json(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Images as Base64."""
    return [
        {
            name: b64encode(value).decode() if isinstance(value, bytes) else value
            for name, value in row.items()
        }
        for row in rows
    ]


def assert_as_in_process(made: Made, answers: list[dict[str, Any]], rows: Array) -> None:
    expected = made.answers(rows).astype(np.float64)
    found = np.array([answer["probabilities"] for answer in answers])
    assert found.shape == expected.shape
    if made.tolerance:
        assert np.abs(found - expected).max() <= made.tolerance
    else:
        assert found.tolist() == expected.tolist()
    assert [answer["species"] for answer in answers] == [CLASSES[place] for place in found.argmax(axis=1)]


def test_single_predictions_are_those_in_this_process(
    http: httpx.Client, made: dict[str, Made], model: str
) -> None:
    rows = SOME[:3]
    answers = [
        http.post(f"/models/{model}/predict", json=row).json() for row in in_json(made[model].objects(rows))
    ]
    assert_as_in_process(made[model], answers, rows)


def test_batches_are_those_in_this_process(http: httpx.Client, made: dict[str, Made], model: str) -> None:
    assert_as_in_process(made[model], batch_results(http, model, in_json(made[model].objects(SOME))), SOME)


def test_jobs_of_json_are_those_in_this_process(
    http: httpx.Client, made: dict[str, Made], model: str
) -> None:
    assert_as_in_process(made[model], job_results(http, model, in_json(made[model].objects(SOME))), SOME)


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    """A cell of a sequence is JSON."""
    text: str = (
        pd.DataFrame(in_json(rows))
        .map(lambda v: json.dumps(v) if isinstance(v, list) else v)
        .to_csv(index=False)
    )
    return text.encode()


def ndjson_of(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in in_json(rows))


def parquet_of(rows: list[dict[str, Any]]) -> bytes:
    table, sink = pa.Table.from_pylist(rows), io.BytesIO()
    pa.parquet.write_table(table, sink)
    return sink.getvalue()


def arrow_of(rows: list[dict[str, Any]]) -> bytes:
    table, sink = pa.Table.from_pylist(rows), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def rows_of_csv(data: bytes) -> list[dict[str, Any]]:
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
    return [row | {"probabilities": json.loads(row["probabilities"])} for row in rows]


FORMATS: dict[
    str, tuple[str, Callable[[list[dict[str, Any]]], bytes], Callable[[bytes], list[dict[str, Any]]]]
] = {
    "csv": ("text/csv", csv_of, rows_of_csv),
    "ndjson": ("application/x-ndjson", ndjson_of, lambda data: [json.loads(x) for x in data.splitlines()]),
    "parquet": (
        "application/vnd.apache.parquet",
        parquet_of,
        lambda data: list(pa.parquet.read_table(io.BytesIO(data)).to_pylist()),
    ),
    "arrow": (ARROW, arrow_of, lambda data: list(pa.ipc.open_stream(data).read_all().to_pylist())),
}


@pytest.mark.parametrize("form", FORMATS)
def test_jobs_of_files_are_those_in_this_process(
    http: httpx.Client, made: dict[str, Made], model: str, form: str
) -> None:
    media_type, written, read = FORMATS[form]
    body = written(made[model].objects(SOME))
    job = finished(http, handed_over(http, model, iter([body]), media_type))
    assert job["state"] == "succeeded", job
    results = http.get(job["links"]["results"], params={"format": form}).raise_for_status().content
    assert_as_in_process(made[model], read(results), SOME)
