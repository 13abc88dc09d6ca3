"""Models of an earlier scikit-learn and of the installed release are served by the same `takt up`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import joblib
import pytest
import sklearn

from shared.environments import interpreter_of
from shared.repository import open_repository
from tests.support.polling import eventually
from tests.support.servers import free_port
from tests.support.terminals import Terminal

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EARLIER = "1.5.2"
ROWS = [[1.4, 0.2], [4.1, 1.0], [5.2, 2.3]]
MODEL = """
name = "{name}"
framework = "scikit-learn"
default_version = "1.0.0"
classes = ["setosa", "versicolor", "virginica"]
{environment}
[[inputs]]
name = "petal_length"
type = "float"

[[inputs]]
name = "petal_width"
type = "float"

[[outputs]]
name = "species"
view = "label"

[[outputs]]
name = "probabilities"
view = "probabilities"

[[golden]]
inputs = {{ petal_length = 1.4, petal_width = 0.2 }}
outputs = {{ species = "setosa" }}
"""
BUILD = """
import joblib
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from worker.models.build import Build


def build(folder):
    flowers, species = load_iris(return_X_y=True)
    forest = RandomForestClassifier(5, random_state=1).fit(flowers[:, 2:], species)
    joblib.dump(forest, folder / "model.joblib")
    return Build("model.joblib")
"""
ANSWER = """
import json, sys, joblib, sklearn
answers = joblib.load(sys.argv[1]).predict_proba(json.loads(sys.argv[2]))
print(json.dumps({"scikit-learn": sklearn.__version__, "answers": answers.tolist()}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty machine with two models that are not built."""
    try:
        httpx.get("https://pypi.org/simple/threadpoolctl/", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        pytest.skip(f"PyPI cannot be reached: {error}")
    pytest.importorskip("uv")
    environment = f'[environment]\nrequirements = ["scikit-learn=={EARLIER}"]'
    for name, table in (("earlier", environment), ("current", "")):
        home = tmp_path / "models" / name
        home.mkdir(parents=True)
        (home / "model.toml").write_text(MODEL.format(name=name, environment=table))
        (home / "build.py").write_text(BUILD)
    return tmp_path


def test_models_of_two_releases_are_served_by_the_same_takt_up(folder: Path) -> None:
    port = free_port()
    with (
        Terminal(folder, port).serving(".venv/bin/takt up --workers 1"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        assert predictions(http, "current") == answers_here(folder)
        assert predictions(http, "earlier") == answers_in_environment(folder)
        environment = f"worker-{environment_of(folder)[:8]}/0"
        assert held(http) == {"worker/0": ["current@1.0.0"], environment: ["earlier@1.0.0"]}

        before = process_of(http, environment)
        os.kill(before, signal.SIGKILL)
        eventually(lambda: process_of(http, environment) not in {0, before}, limit_s=60)
        assert predictions(http, "earlier") == answers_in_environment(folder)


def workers(http: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/workers").json()["workers"]
    return [worker for worker in found if worker["state"] == "serving"]


def held(http: httpx.Client) -> dict[str, list[str]]:
    """The loaded versions of each worker, by its name."""
    return {
        worker["id"].partition(":")[0]: [
            f"{model['model']}@{model['version']}" for model in worker["models"] if model["state"] == "loaded"
        ]
        for worker in workers(http)
    }


def process_of(http: httpx.Client, name: str) -> int:
    """The process id of a worker that serves; 0: none has this name."""
    return next((worker["pid"] for worker in workers(http) if worker["id"].startswith(f"{name}:")), 0)


def predictions(http: httpx.Client, model: str) -> list[list[float]]:
    rows = [{"petal_length": length, "petal_width": width} for length, width in ROWS]
    answers = [http.post(f"/models/{model}/predict", json=row).raise_for_status().json() for row in rows]
    assert [answer["species"] for answer in answers] == ["setosa", "versicolor", "virginica"]
    return [answer["probabilities"] for answer in answers]


def answers_here(folder: Path) -> list[list[float]]:
    version = open_repository(folder / "models").version("current")
    assert version.manifest.frameworks["scikit-learn"] == sklearn.__version__ != EARLIER
    answers: list[list[float]] = joblib.load(version.artifact).predict_proba(ROWS).tolist()
    return answers


def answers_in_environment(folder: Path) -> list[list[float]]:
    version = open_repository(folder / "models").version("earlier")
    assert version.manifest.frameworks["scikit-learn"] == EARLIER
    python = interpreter_of(folder / ".takt" / "environments", version.environment)
    found = subprocess.check_output([python, "-c", ANSWER, str(version.artifact), json.dumps(ROWS)])
    about = json.loads(found)
    assert about["scikit-learn"] == EARLIER
    answers: list[list[float]] = about["answers"]
    return answers


def environment_of(folder: Path) -> str:
    return open_repository(folder / "models").version("earlier").environment
