"""Deployments on a running stack: a split, a promotion, a rollback, and conflicts, while requests go on."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.repository import open_repository
from tests.support.callers import finished
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import ROOT, Part, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

FLOWER = {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.3}

_FREEZES = """

def _frozen(folder, spec):
    if spec.exists():
        (folder / "model.toml").write_bytes(spec.read_bytes())
"""


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with iris 1.0.0 and 1.1.0; the spec of 1.1.0 names its output differently."""
    from worker.models.build import build_model

    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "models/iris", folder / "iris", ignore=shutil.ignore_patterns("1.*"))
    build, frozen = folder / "iris/build.py", folder / "iris/frozen.toml"
    copies = f"_frozen(folder, Path({str(frozen)!r})); return Build("
    build.write_text(build.read_text().replace("return Build(", copies) + _FREEZES)
    build_model(open_repository(folder), "iris", "1.0.0")
    frozen.write_text((folder / "iris/model.toml").read_text().replace("prediction", "species"))
    build_model(open_repository(folder), "iris", "1.1.0")
    return folder


@pytest.fixture(scope="module")
def stack(
    queue: Server, two_versions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Part]]:
    folder = tmp_path_factory.mktemp("stack")
    with running(queue.url, folder, models_dir=str(two_versions)) as stack:
        stack.gateway()
        other = stack.gateway("second", port=_port())
        stack.worker("w1", models="iris@1.0.0,iris@1.1.0")
        for part in (stack, other):
            wait_until_ready(part)
        yield stack, other


def _port() -> int:
    from tests.support.servers import free_port

    return free_port()


@pytest.fixture
def clients(stack: tuple[Stack, Part]) -> Iterator[list[httpx.Client]]:
    urls = [one.url for one in stack]
    found = [httpx.Client(base_url=url, timeout=30, verify=False) for url in urls]
    yield found
    put(found[0], {"wanted": ["1.0.0", "1.1.0"], "default": "1.0.0"})
    for client in found:
        client.close()


def put(http: httpx.Client, target: dict[str, Any], **headers: str) -> httpx.Response:
    return http.put("/models/iris/deployment", json=target, headers=headers)


def serves(http: httpx.Client, version: str) -> bool:
    return http.post("/predict", json=FLOWER).headers["x-model-version"] == version


def test_a_promotion_reaches_all_gateways_and_a_rollback_undoes_it(clients: list[httpx.Client]) -> None:
    first, second = clients
    answer = put(first, {"wanted": ["1.0.0", "1.1.0"], "default": "1.1.0", "reason": "better"})
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert (view["default"], view["can_roll_back_to"], view["reason"]) == ("1.1.0", "1.0.0", "better")
    assert [one["state"] for one in view["versions"]] == ["held", "held"]
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
    put(first, {"wanted": ["1.0.0", "1.1.0"], "default": "1.0.0", "split": split})
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
            "wanted": ["1.0.0", "1.1.0"],
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
    target = {"wanted": ["1.0.0", "1.1.0"], "default": "1.0.0"}
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
