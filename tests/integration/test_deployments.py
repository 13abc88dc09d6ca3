"""Deployments on a running stack: a split, a promotion, a rollback, and conflicts, while requests go on."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from shared.repository import open_repository
from tests.support.bodies import arrow_stream
from tests.support.callers import finished, handed_over
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import ROOT, Part, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

FLOWER = {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.3}

BUILD = """
import joblib
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from worker.models.build import Build

from .faulty import Faulty

def build(folder):
    rows, species = load_iris(return_X_y=True)
    model = RandomForestClassifier(10, random_state=1, n_jobs=1).fit(rows, species)
    version = folder.name.partition(".building")[0]
    if version == "1.1.0":
        spec = (folder.parent / "model.toml").read_text().replace('"prediction"', '"species"')
        (folder / "model.toml").write_text(spec)
    joblib.dump(Faulty(model) if version == "1.2.0" else model, folder / "model.joblib")
    return Build("model.joblib")
"""
FAULTY = """
from sklearn.base import BaseEstimator, ClassifierMixin

class Faulty(ClassifierMixin, BaseEstimator):
    def __init__(self, model):
        self.model = model
        self.classes_ = model.classes_

    def predict(self, rows):
        return self.model.predict(rows)

    def predict_proba(self, rows):
        if (rows[:, 0] > 7).any():
            raise ValueError("no such flower")
        return self.model.predict_proba(rows)
"""


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """iris in three versions: 1.1.0 has a spec of its own, and 1.2.0 raises on large flowers."""
    from worker.models.build import build_model

    folder = tmp_path_factory.mktemp("models")
    home = folder / "iris"
    home.mkdir()
    spec = (ROOT / "models/iris/model.toml").read_text().partition("# Rows with known answers")[0]
    for name, text in (("model.toml", spec), ("build.py", BUILD), ("faulty.py", FAULTY)):
        (home / name).write_text(text)
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        build_model(open_repository(folder), "iris", version)
    return folder


@pytest.fixture(scope="module")
def stack(
    queue: Server, versions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Part]]:
    folder = tmp_path_factory.mktemp("stack")
    with running(queue.url, folder, models_dir=str(versions)) as stack:
        stack.gateway()
        other = stack.gateway("second", port=_port())
        stack.worker("w1", workers="1")
        for part in (stack, other):
            wait_until_ready(part)
        with stack.client() as http:
            answer = put(http, {"wanted": ["1.0.0", "1.1.0", "1.2.0"], "default": "1.0.0"})
            assert answer.status_code == 200, answer.text
            eventually(lambda: states(http) == {"held"}, limit_s=60)
        yield stack, other


def _port() -> int:
    from tests.support.servers import free_port

    return free_port()


@pytest.fixture
def clients(stack: tuple[Stack, Part]) -> Iterator[list[httpx.Client]]:
    urls = [one.url for one in stack]
    found = [httpx.Client(base_url=url, timeout=30, verify=False) for url in urls]
    yield found
    put(found[0], {"wanted": ["1.0.0", "1.1.0", "1.2.0"], "default": "1.0.0"})
    for client in found:
        client.close()


def put(http: httpx.Client, target: dict[str, Any], **headers: str) -> httpx.Response:
    return http.put("/models/iris/deployment", json=target, headers=headers)


def states(http: httpx.Client) -> set[str]:
    return {one["state"] for one in http.get("/models/iris/deployment").json()["versions"]}


def serves(http: httpx.Client, version: str) -> bool:
    return http.post("/predict", json=FLOWER).headers["x-model-version"] == version


def test_a_promotion_reaches_all_gateways_and_a_rollback_undoes_it(clients: list[httpx.Client]) -> None:
    first, second = clients
    answer = put(first, {"wanted": ["1.0.0", "1.1.0", "1.2.0"], "default": "1.1.0", "reason": "better"})
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert (view["default"], view["can_roll_back_to"], view["reason"]) == ("1.1.0", "1.0.0", "better")
    assert {one["state"] for one in view["versions"]} == {"held"}
    for http in clients:
        eventually(partial(serves, http, "1.1.0"), limit_s=2)
        assert "species" in http.post("/predict", json=FLOWER).json(), "its own spec names the output"
    assert second.post("/models/iris/rollback").json()["default"] == "1.0.0"
    for http in clients:
        eventually(partial(serves, http, "1.0.0"), limit_s=2)
    changes = first.get("/models/iris/deployment/history").json()["changes"]
    assert [one["default"] for one in changes[:2]] == ["1.0.0", "1.1.0"]
    assert "rolled back from 1.1.0" in changes[0]["reason"]


def test_a_split_divides_the_requests_and_sticks_to_a_routing_key(clients: list[httpx.Client]) -> None:
    first, second = clients
    split = {"1.0.0": 70, "1.1.0": 30}
    put(first, {"wanted": ["1.0.0", "1.1.0", "1.2.0"], "default": "1.0.0", "split": split})
    eventually(lambda: second.get("/models/iris/deployment").json()["split"] == split, limit_s=2)
    for http in clients:
        eventually(partial(serves, http, "1.1.0"), limit_s=10)
        found = Counter(http.post("/predict", json=FLOWER).headers["x-model-version"] for _ in range(600))
        assert abs(found["1.1.0"] - 180) <= 4 * (600 * 0.3 * 0.7) ** 0.5
    for machine in map(str, range(10)):
        headers = {"Takt-Routing-Key": machine}
        versions = {
            http.post("/predict", json=FLOWER, headers=headers).headers["x-model-version"]
            for http in clients
            for _ in range(5)
        }
        assert len(versions) == 1


def test_jobs_and_named_versions_do_not_take_part_in_a_split(clients: list[httpx.Client]) -> None:
    first, _ = clients
    put(
        first,
        {
            "wanted": ["1.0.0", "1.1.0", "1.2.0"],
            "default": "1.0.0",
            "split": {"1.1.0": 100},
            "aliases": {"candidate": "1.1.0"},
        },
    )
    eventually(lambda: serves(first, "1.1.0"), limit_s=2)
    made = first.post("/jobs", json={"model": "iris", "inputs": [FLOWER]})
    assert finished(first, made.headers["location"])["version"] == "1.0.0"
    named = first.post("/models/iris/versions/1.0.0/predict", json=FLOWER)
    assert named.headers["x-model-version"] == "1.0.0"
    alias = first.post("/models/iris/versions/candidate/predict", json=FLOWER)
    assert alias.headers["x-model-version"] == "1.1.0"


def test_a_change_on_an_old_generation_is_refused(clients: list[httpx.Client]) -> None:
    first, second = clients
    before = first.get("/models/iris/deployment")
    target = {"wanted": ["1.0.0", "1.1.0", "1.2.0"], "default": "1.0.0"}
    assert put(second, target, **{"If-Match": before.headers["etag"]}).status_code == 200
    refused = put(first, target, **{"If-Match": before.headers["etag"]})
    assert refused.status_code == 412
    assert "another change came first" in refused.text


def test_wrong_deployments_are_refused_with_the_reason(clients: list[httpx.Client]) -> None:
    first, _ = clients
    for target, status, words in (
        ({"wanted": ["9.0.0"], "default": "9.0.0"}, 404, "has no version"),
        ({"wanted": ["1.0.0"], "default": "1.1.0"}, 422, "not among the wanted versions"),
        ({"default": "1.0.0"}, 422, "wanted"),
    ):
        answer = put(first, target)
        assert answer.status_code == status, answer.text
        assert words in answer.text
    assert first.get("/models/nothing/deployment").status_code == 404


class Load:
    """Requests to all gateways in turn, in a thread, until the block ends."""

    def __init__(self, clients: list[httpx.Client], *rows: dict[str, float]) -> None:
        self._urls = [str(client.base_url) for client in clients]
        self._rows = rows
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.statuses: Counter[tuple[str, int]] = Counter()

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        clients = [httpx.Client(base_url=url, timeout=30, verify=False) for url in self._urls]
        for row, http in itertools.cycle(itertools.product(self._rows, clients)):
            if self._over.is_set():
                break
            answer = http.post("/predict", json=row)
            self.statuses[answer.headers.get("x-model-version", ""), answer.status_code] += 1
        for http in clients:
            http.close()


def rollout_of(http: httpx.Client, version: str, **rules: float) -> None:
    asked = {
        "to": version,
        "steps": [20, 60],
        "hold_s": 1,
        "rules": {"min_requests": 30, "max_predict_ratio": 1000} | rules,
    }
    answer = http.post("/models/iris/rollouts", json=asked)
    assert answer.status_code == 201, answer.text
    assert answer.json()["split"] == {"1.0.0": 80, version: 20}


def ended(http: httpx.Client) -> dict[str, Any] | None:
    found = http.get("/models/iris/rollouts").json()
    return None if found["running"] or not found["ended"] else found["ended"][0]


def test_a_rollout_takes_its_steps_and_promotes_without_a_failed_request(
    clients: list[httpx.Client],
) -> None:
    first, second = clients
    with Load(clients, FLOWER) as load:
        rollout_of(first, "1.1.0", max_p99_ratio=1000)
        seen = eventually(lambda: second.get("/models/iris/rollouts").json()["running"], limit_s=5)
        assert seen["to_version"] == "1.1.0"
        assert first.post("/models/iris/rollouts", json={"to": "1.2.0"}).status_code == 409
        done = eventually(lambda: ended(second), limit_s=60)
    assert done is not None
    assert (done["state"], done["reason"]) == ("promoted", "all steps passed")
    assert {status for _, status in load.statuses} == {200}
    for http in clients:
        eventually(partial(serves, http, "1.1.0"), limit_s=2)
    view = first.get("/models/iris/deployment").json()
    assert (view["default"], view["split"], view["can_roll_back_to"]) == ("1.1.0", {}, "1.0.0")


def test_a_version_that_raises_is_rolled_back_by_itself_and_the_rule_is_named(
    clients: list[httpx.Client],
) -> None:
    first, _ = clients
    large = FLOWER | {"sepal_length": 7.5}
    with Load(clients, *[FLOWER] * 9, large):
        rollout_of(first, "1.2.0", max_p99_ratio=1000)
        done = eventually(lambda: ended(first), limit_s=60)
    assert done is not None
    assert done["state"] == "rolled_back"
    assert "max_error_rate" in done["reason"]
    view = first.get("/models/iris/deployment").json()
    assert (view["default"], view["split"]) == ("1.0.0", {})
    for http in clients:
        eventually(partial(serves, http, "1.0.0"), limit_s=2)


def test_a_running_rollout_can_be_rolled_back_by_hand(clients: list[httpx.Client]) -> None:
    first, second = clients
    rollout_of(first, "1.1.0")
    answer = second.post("/models/iris/rollback")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["split"], answer.json()["rollout"]["state"]) == ({}, "rolled_back")
    assert not any(serves(second, "1.1.0") for _ in range(50))


def test_versions_and_models_come_and_go_while_requests_go_on(
    clients: list[httpx.Client], versions: Path
) -> None:
    from worker.models.build import build_model

    first, second = clients
    with Load(clients, FLOWER) as load:
        build_model(open_repository(versions), "iris", "1.3.0")
        answer = put(first, {"wanted": ["1.0.0", "1.3.0"], "default": "1.3.0"})
        assert answer.status_code == 200, answer.text
        for http in clients:
            eventually(partial(serves, http, "1.3.0"), limit_s=60)
        eventually(lambda: len(first.get("/models/iris/deployment").json()["versions"]) == 2, limit_s=60)
        new = versions / "petals"
        shutil.copytree(versions / "iris", new, ignore=shutil.ignore_patterns("1.*"))
        spec = (new / "model.toml").read_text()
        (new / "model.toml").write_text(spec.replace('name = "iris"', 'name = "petals"', 1))
        build_model(open_repository(versions), "petals", "1.0.0")
        deployed = {"wanted": ["1.0.0"], "default": "1.0.0"}
        answer = first.put("/models/petals/deployment", json=deployed)
        assert answer.status_code == 200, answer.text
        path = "/models/petals/predict"
        eventually(lambda: second.post(path, json=FLOWER).status_code == 200, limit_s=60)
    assert {status for _, status in load.statuses} == {200}


def test_an_unloaded_model_leaves_the_workers_and_comes_back(clients: list[httpx.Client]) -> None:
    first, second = clients
    assert first.post("/v2/repository/models/iris/unload").status_code == 200
    for http in clients:
        eventually(partial(is_unready, http), limit_s=5)
        assert http.get("/health/ready").status_code == 200, "workers without a model are not a fault"
    assert first.post("/predict", json=FLOWER).status_code == 503
    view = first.get("/models/iris/deployment").json()
    assert (view["unloaded"], {one["state"] for one in view["versions"]}) == (True, {"absent"})
    assert second.post("/v2/repository/models/iris/load").status_code == 200
    assert is_ready(second)
    assert second.post("/predict", json=FLOWER).status_code == 200


def is_ready(http: httpx.Client) -> bool:
    return http.get("/v2/models/iris/ready").status_code == 200


def is_unready(http: httpx.Client) -> bool:
    return not is_ready(http)


def test_a_job_of_a_dropped_version_shows_the_command_that_loads_it(clients: list[httpx.Client]) -> None:
    first, second = clients
    assert put(first, {"wanted": ["1.1.0"], "default": "1.1.0"}).status_code == 200
    eventually(lambda: held(second) == {"1.1.0"}, limit_s=60)
    table = pa.table({name: np.full(100, value) for name, value in FLOWER.items()})
    job = handed_over(first, "iris", arrow_stream(table, 100), version="1.0.0")
    command = "takt deploy iris 1.0.0 --canary 0"
    eventually(lambda: command in (second.get(job).json().get("waiting") or {}).get("detail", ""), limit_s=30)
    eventually(lambda: "model_without_worker" in conditions(second), limit_s=30)
    split = {"1.1.0": 100, "1.0.0": 0}
    assert put(first, {"wanted": ["1.1.0", "1.0.0"], "default": "1.1.0", "split": split}).status_code == 200
    found = finished(second, job)
    assert (found["state"], found["rows_succeeded"]) == ("succeeded", 100)


def held(http: httpx.Client) -> set[str]:
    versions = http.get("/models/iris/deployment").json()["versions"]
    return {one["version"] for one in versions if one["state"] == "held"}


def conditions(http: httpx.Client) -> set[str]:
    return {one["code"] for one in http.get("/status").json()["conditions"]}
