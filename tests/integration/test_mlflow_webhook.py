"""A real `mlflow server` publishes and deploys a version by its webhooks."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.test_mlflow_source import NAME, mlflow_server, register
from tests.support import ai4i
from tests.support.ai4i import NUMBERS
from tests.support.frameworks import needs
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import ROOT, Stack, running

pytestmark = [pytest.mark.integration, pytest.mark.tools, pytest.mark.timeout(900), needs("mlflow")]

MODEL = "failure_model"
SECRET = "a-secret-of-both"
SETTINGS = {
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(b"0" * 32).decode(),
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
PULLED_S = 240.0


@pytest.fixture(scope="module")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
            patch.setenv("MLFLOW_TRACKING_URI", url)  # of the workers
            yield url


@pytest.fixture(scope="module")
def stack(mlflow_url: str, queue: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    assert os.environ["MLFLOW_TRACKING_URI"] == mlflow_url
    folder = tmp_path_factory.mktemp("stack")
    shutil.copytree(ROOT / "models/iris", folder / "models/iris")
    settings = {"models_dir": str(folder / "models"), "mlflow_webhook_secret": SECRET}
    with running(queue.url, folder, **settings) as stack:
        stack.gateway()
        stack.worker("w1")
        yield stack


def published(http: httpx.Client) -> list[str]:
    found = http.get(f"/models/{MODEL}/versions")
    return [one["version"] for one in found.json()["versions"]] if found.is_success else []


def deployed(http: httpx.Client) -> dict[str, Any]:
    view: dict[str, Any] = http.get(f"/models/{MODEL}/deployment").json()
    return view


def test_an_alias_that_is_set_in_mlflow_deploys_its_version(
    stack: Stack, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    client = MlflowClient(mlflow_url, mlflow_url)
    client.create_webhook(
        name="takt",
        url=f"{stack.url}/webhooks/mlflow?alias=champion&deploy=true",
        events=["model_version_alias.created"],
        secret=SECRET,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = register(mlflow_url, monkeypatch)
    with stack.client() as http:
        eventually(lambda: published(http) == ["2.0.0"], limit_s=PULLED_S, every_s=0.5)
        row = {name: float(value) for name, value in ai4i.table(1)[NUMBERS].iloc[0].items()}
        path = f"/models/{MODEL}/predict"
        eventually(lambda: http.post(path, json=row).is_success, limit_s=60, every_s=0.2)
        assert http.post(path, json=row).headers["x-model-version"] == "2.0.0"
        view = deployed(http)
        assert (view["default"], view["changed_by"]) == ("2.0.0", "mlflow")
        assert view["reason"] == f"alias champion of {NAME}"
        client.set_registered_model_alias(NAME, "another", "1")  # no event of the webhook's alias
        client.set_registered_model_alias(NAME, "champion", "1")
        eventually(lambda: deployed(http)["serves"] == "1.0.0", limit_s=PULLED_S, every_s=0.5)
        assert deployed(http)["can_roll_back_to"] == "2.0.0"
        assert len(models) == len(published(http))


def test_a_registered_version_that_cannot_be_pulled_is_refused_with_the_reason(stack: Stack) -> None:
    event = {
        "entity": "model_version",
        "action": "created",
        "timestamp": "2026-01-02T10:00:00+00:00",
        "data": {"name": NAME, "version": "99"},
    }
    with stack.client() as http:
        answer = http.post("/webhooks/mlflow", json=event)
        assert (answer.status_code, answer.json()["state"]) == (202, "accepted")
        eventually(lambda: "99.0.0" in refused(http), limit_s=PULLED_S, every_s=0.5)
        assert f"{NAME}/99" in refused(http)["99.0.0"]


def refused(http: httpx.Client) -> dict[str, str]:
    found = http.get(f"/models/{MODEL}/versions").json()["versions"]
    return {one["version"]: one["reason"] for one in found if one["state"] == "refused"}


def test_a_run_becomes_a_version(mlflow_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    client = MlflowClient(mlflow_url, mlflow_url)
    run = client.search_model_versions(f"name = '{NAME}'")[0].run_id
    takt = str(ROOT / ".venv/bin/takt")
    command = [takt, "models", "pull", f"runs:/{run}/model", "--name", "of-run", "--to", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "of-run/1.0.0/manifest.json").is_file()
