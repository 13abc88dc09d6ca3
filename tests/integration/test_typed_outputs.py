"""Several outputs of every type, online and as jobs in every format: the model's own answers, bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from playwright.sync_api import expect

from api.inference_protocol.wire_tensors import of_binary
from shared.arrow_tables import ERROR, result_schema
from shared.repository import Repository, open_repository
from takt import Takt
from tests.support.browsers import PATIENCE_MS, browser, chromium, visiting
from tests.support.callers import batch_results, finished, handed_over, job_results
from tests.support.parity import FORMATS, results_as
from tests.support.servers import Server
from tests.support.stack import ROOT, Stack, running, wait_until_ready
from worker.models.build import build_model

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Rows = NDArray[np.float64]
ROWS: Rows = np.random.default_rng(4).normal(size=(300, 3)).round(3)
NAMES = ("a", "b", "c")
INPUTS = [dict(zip(NAMES, row, strict=True)) for row in ROWS.tolist()]
PYTHON = {pa.float64(): float, pa.float32(): float, pa.int64(): int, pa.bool_(): bool, pa.string(): str}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "tests/support/outputs", folder, dirs_exist_ok=True)
    repository = open_repository(folder)
    for name in repository.specs:
        build_model(repository, name)
    return repository


@pytest.fixture(scope="module")
def stack(queue: Server, repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"models_dir": str(repository.root), "default_model": "words"}
    with running(queue.url, tmp_path_factory.mktemp("stack"), **settings) as stack:
        stack.gateway()
        stack.worker("w1")
        wait_until_ready(stack)
        yield stack


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def of_anomaly(estimator: Any, rows: Rows) -> dict[str, Any]:  # Any: sklearn has no types
    signs = estimator.predict(rows)
    return {
        "state": np.where(signs < 0, "anomaly", "normal"),
        "sign": signs,
        "score": estimator.score_samples(rows),
    }


def of_clusters(estimator: Any, rows: Rows) -> dict[str, Any]:
    return {"cluster": estimator.predict(rows), "distances": estimator.transform(rows)}


def of_targets(estimator: Any, rows: Rows) -> dict[str, Any]:
    angle, torque = estimator.predict(rows).T
    return {"torque": torque, "angle": angle.astype(np.float32)}


def of_marks(estimator: Any, rows: Rows) -> dict[str, Any]:
    color, grade = estimator.predict(rows).T
    colors, grades = estimator.predict_proba(rows)
    return {
        "color": color,
        "color_confidence": colors.max(axis=1),
        "등급": grade,
        "grades": grades,
        "leaves": estimator.apply(rows),
    }


def of_words(estimator: Any, rows: Rows) -> dict[str, Any]:
    ratio = estimator.ratio(rows)
    return {
        "remark": estimator.remark(rows),
        "tags": estimator.tags(rows),
        "passed": estimator.passed(rows),
        "serial": estimator.serial(rows),
        "next_serial": estimator.next_serial(rows),
        "ratio": np.array([None if np.isnan(value) else value for value in ratio], dtype=object),
        "operator": estimator.operator(rows),
    }


def of_heads(network: Any, rows: Rows) -> dict[str, Any]:
    import torch

    with torch.inference_mode():
        heads = network(torch.from_numpy(rows.astype(np.float32)))
        states = torch.softmax(heads["state"], dim=1)
    found = {name: head.numpy() for name, head in heads.items()}
    found |= {"state": np.array(["ok", "worn"])[states.argmax(1)], "states": states.double().numpy()}
    return found


OWN: dict[str, Callable[[Any, Rows], dict[str, Any]]] = {
    "anomaly": of_anomaly,
    "clusters": of_clusters,
    "heads": of_heads,
    "marks": of_marks,
    "targets": of_targets,
    "words": of_words,
}
MODELS = sorted(OWN)


def own_answers(repository: Repository, model: str) -> pa.Table:
    """The answers of the artifact itself, in this process, as a table of the declared types."""
    artifact = repository.version(model).artifact
    found = OWN[model](_network(artifact) if model == "heads" else joblib.load(artifact), ROWS)
    schema = schema_of(repository, model)
    return pa.table([pa.array(list(found[field.name]), field.type) for field in schema], schema=schema)


def _network(artifact: Path) -> Any:
    import torch

    from tests.support.outputs.heads.network import Heads

    network = Heads()
    network.load_state_dict(torch.load(artifact, weights_only=True))
    return network


def schema_of(repository: Repository, model: str) -> pa.Schema:
    return pa.schema([field for field in result_schema(repository.specs[model]) if field.name != ERROR])


@pytest.mark.parametrize("model", MODELS)
def test_outputs_in_binary_are_those_of_predict(http: httpx.Client, model: str) -> None:
    size = {"binary_data_size": ROWS.nbytes}
    tensor = {"name": "all", "shape": ROWS.shape, "datatype": "FP64", "parameters": size}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    answer = http.post(
        f"/v2/models/{model}/infer",
        content=head + ROWS.tobytes(),
        headers={"inference-header-content-length": str(len(head))},
    ).raise_for_status()
    length = int(answer.headers["inference-header-content-length"])
    data = answer.content[length:]
    expected = batch_results(http, model, INPUTS)
    for output in json.loads(answer.content[:length])["outputs"]:
        end = output["parameters"]["binary_data_size"]
        values, data = data[:end], data[end:]
        found = of_binary(output["name"], output["datatype"], output["shape"], values).data
        wanted = np.array([row[output["name"]] for row in expected], dtype=object).ravel()
        if isinstance(found, list):
            assert [text.decode() for text in found] == [text or "" for text in wanted]
        else:
            np.testing.assert_array_equal(found, wanted.astype(found.dtype), strict=True)
    assert not data


def assert_same(found: pa.Table, expected: pa.Table) -> None:
    assert found.schema.equals(expected.schema)
    for name in expected.column_names:
        one, other = found[name].combine_chunks(), expected[name].combine_chunks()
        if name == "distances":  # BLAS adds products in another order in a batch of another size
            assert np.allclose(np.array(one.to_pylist()), np.array(other.to_pylist()), rtol=1e-12, atol=0)
        else:
            assert one.equals(other), name


def table_of(results: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """JSON results as a table, after a check that each value has the JSON type of its column."""
    for field in schema:
        kind = field.type
        values = [result[field.name] for result in results]
        while pa.types.is_list(kind):
            kind, values = kind.value_type, [item for value in values for item in value]
        assert {type(value) for value in values if value is not None} == {PYTHON[kind]}, field.name
    return pa.table([pa.array([r[f.name] for r in results], f.type) for f in schema], schema=schema)


@pytest.mark.parametrize("model", MODELS)
def test_predictions_have_the_models_values_and_types(
    repository: Repository, http: httpx.Client, model: str
) -> None:
    expected = own_answers(repository, model)
    some = [http.post(f"/models/{model}/predict", json=row).raise_for_status().json() for row in INPUTS[:20]]
    assert {row.pop("model_version") for row in some} == {"1.0.0"}
    assert_same(table_of(some, expected.schema), expected.slice(0, 20))
    assert_same(table_of(batch_results(http, model, INPUTS), expected.schema), expected)


@pytest.mark.parametrize("model", MODELS)
def test_a_job_has_the_models_values_and_types_in_every_format(
    repository: Repository, http: httpx.Client, tmp_path: Path, model: str
) -> None:
    expected = own_answers(repository, model)
    assert_same(table_of(job_results(http, model, INPUTS), expected.schema), expected)
    job = finished(http, handed_over(http, model, arrow_of(ROWS)))
    assert (job["state"], job["rows_succeeded"]) == ("succeeded", len(ROWS)), job
    for kind in FORMATS:
        found = results_as(http, job, kind, repository.specs[model], tmp_path)
        assert_same(found.select(expected.column_names), expected)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_typed_formats_declare_the_types_of_the_outputs(
    repository: Repository, http: httpx.Client, tmp_path: Path, kind: str
) -> None:
    job = finished(http, handed_over(http, "words", arrow_of(ROWS[:5])))
    results_as(http, job, kind, repository.specs["words"], tmp_path)
    path = tmp_path / f"results.{kind}"
    found = pa.parquet.read_schema(path) if kind == "parquet" else pa.ipc.open_stream(path).schema
    expected = schema_of(repository, "words")
    assert [_flat(found.field(field.name).type) for field in expected] == [_flat(f.type) for f in expected]


def _flat(kind: pa.DataType) -> tuple[bool, pa.DataType]:
    """Whether it is a list, and the type of its items, whose name differs between formats."""
    return (True, kind.value_type) if pa.types.is_list(kind) else (False, kind)


def test_a_row_that_fails_leaves_the_types_of_the_others(
    repository: Repository, http: httpx.Client, tmp_path: Path
) -> None:
    body = b"a,b,c\n1,2,3\n1,oops,3\n1,2,3\n"
    job = finished(http, handed_over(http, "words", [body], "text/csv", max_errors="1"))
    for kind in FORMATS:
        found = results_as(http, job, kind, repository.specs["words"], tmp_path)
        assert found["serial"].to_pylist() == [2**60 + 3, None, 2**60 + 3]
        assert found["passed"].to_pylist() == [True, None, True]


def test_the_sdk_keeps_the_types(repository: Repository, stack: Stack) -> None:
    own = own_answers(repository, "words")
    with Takt(stack.url) as client:
        job = client.wait(client.submit(INPUTS, model="words").id)
        frame = client.results_frame(job.id)
        rows = list(client.results(job.id))
    kinds = {"passed": "bool", "serial": "int64", "next_serial": "Int64", "ratio": "float32"}
    assert {name: str(frame[name].dtype) for name in kinds} == kinds
    for name in ("remark", "passed", "serial", "next_serial", "operator"):
        expected = own[name].to_pylist()
        assert [None if pd.isna(value) else value for value in frame[name].tolist()] == expected
        assert [row[name] for row in rows] == expected


@pytest.mark.tools
def test_the_console_shows_types_every_digit_and_missing_values(http: httpx.Client, stack: Stack) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    with browser(chromium()) as window, visiting(window, stack.url) as visitor:
        page = visitor.open("#/models/words")
        outputs = page.get_by_role("table", name="Outputs")
        for shown in ("value · int64", "tensor · string", "value · bool", "next_serial()", "may be empty"):
            expect(outputs).to_contain_text(shown)
        page.get_by_role("button", name="Predict").click()
        answer = page.locator(".answers")
        for shown in ('"양호", a > 0', '["up", "down"]', "true", "1152921504606846977", "–", "김"):
            expect(answer).to_contain_text(shown)
        assert visitor.errors == []


def arrow_of(rows: Rows) -> list[bytes]:
    table = pa.table(list(rows.T), names=list(NAMES))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return [sink.getvalue().to_pybytes()]
