"""`takt models pull mlflow:/…` from a real `mlflow server`, and from a local folder of runs."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from shared.columns import of_rows
from shared.repository import open_repository
from tests.clients.environments import python_of
from tests.support import ai4i
from tests.support.ai4i import NUMBERS, TARGET
from tests.support.frameworks import needs
from tests.support.polling import eventually
from tests.support.servers import free_port
from tests.support.terminals import Terminal
from worker.predictors import load_predictor

pytestmark = [pytest.mark.integration, pytest.mark.tools, pytest.mark.timeout(900), needs("mlflow")]

NAME = "Failure_Model"


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """A tracking server with a registry and an artifact store. → its URL"""
    port = free_port()
    options = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder)]
    command = [str(python_of("mlflow-server")), "-m", "mlflow", "server", "--workers", "1"]
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen(
            [*command, "--port", str(port), *options], stdout=log, stderr=log, cwd=folder
        ) as server,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(lambda: answers(url) or server.poll() is not None, limit_s=180, every_s=0.5)
            assert server.poll() is None, (folder / "server.log").read_text()
            yield url
        finally:
            server.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def register(uri: str, monkeypatch: pytest.MonkeyPatch) -> dict[int, RandomForestClassifier]:
    """Log and register two versions; `champion` is the second. → the models by version"""
    import mlflow.sklearn

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, uri)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    table = ai4i.table(1_000)
    found = {}
    for version in (1, 2):
        model = RandomForestClassifier(5, random_state=version).fit(table[NUMBERS], table[TARGET])
        signature = mlflow.models.infer_signature(table[NUMBERS], model.predict(table[NUMBERS]))
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                model,
                name="model",
                signature=signature,
                pip_requirements=[],
                serialization_format="cloudpickle",
                registered_model_name=NAME,
            )
        found[version] = model
    mlflow.MlflowClient().set_registered_model_alias(NAME, "champion", "2")
    return found


@pytest.mark.parametrize("source", ["server", "folder"])
def test_registered_models_become_versions_that_answer_as_in_mlflow(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = mlflow_server(tmp_path) if source == "server" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if server is None:
            monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
            _pulled((tmp_path / "mlruns").as_uri(), tmp_path, monkeypatch)
        else:
            with server as url:
                _pulled(url, tmp_path, monkeypatch)


def _pulled(uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    models = register(uri, monkeypatch)
    (folder / "clone").mkdir()
    terminal = Terminal(folder / "clone", free_port())
    pull = ".venv/bin/takt models pull mlflow:/{} --to models --json"
    made = json.loads(terminal.types(pull.format(f"{NAME}@champion")))
    assert (made["state"], made["version"]) == ("made", "2.0.0")
    assert json.loads(terminal.types(pull.format(f"{NAME}/1")))["version"] == "1.0.0"
    repository = open_repository(folder / "clone" / "models")
    assert repository.versions("failure_model") == ["1.0.0", "2.0.0"]
    rows = ai4i.table(50)[NUMBERS]
    for number, model in models.items():
        version = repository.version("failure_model", f"{number}.0.0")
        predictor = load_predictor(version, device="cpu", threads=1, mismatch="warn")
        sent: list[dict[str, Any]] = [dict(row) for _, row in rows.iterrows()]
        answered = np.asarray(predictor.predict(of_rows(version.spec, sent)))
        assert np.allclose(answered, model.predict_proba(rows))
    refused = terminal.types(f"{pull.format('Nothing@champion')} || true")
    assert "Nothing" in refused
