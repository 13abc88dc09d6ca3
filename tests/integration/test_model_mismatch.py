"""Gateways and workers with different models, as real processes: no request gets another model's answer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.repository import open_repository
from tests.support.polling import eventually
from tests.support.servers import Server, free_port
from tests.support.stack import Part, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration]

ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
Change = Callable[[str], str]


def swap_inputs(text: str) -> str:
    return (
        text.replace('"sepal_length"', '"?"')
        .replace('"sepal_width"', '"sepal_length"')
        .replace('"?"', '"sepal_width"')
    )


CHANGES: dict[str, Change] = {
    "inputs in another order": swap_inputs,
    "float32 instead of float": lambda text: text.replace('type = "float"', 'type = "float32"', 1),
    "classes in another order": lambda text: text.replace('"setosa", "versicolor"', '"versicolor", "setosa"'),
    "another rounding": lambda text: text.replace(
        'view = "confidence"\n', 'view = "confidence"\nround = 2\n'
    ),
}


def repository(models: Path, folder: Path, change: Change) -> Path:
    """The iris of `models`, built, with a changed model.toml."""
    shutil.copytree(models / "iris", folder / "iris", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "iris" / "model.toml"
    path.write_text(change(path.read_text()))
    return folder


@pytest.fixture(scope="module")
def stack(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway and a worker that have the same iris."""
    folder = tmp_path_factory.mktemp("mismatch")
    same = repository(models, folder / "same", lambda text: text)
    with running(queue.url, folder, models_dir=str(same), models="iris") as started:
        started.gateway()
        started.worker("right")
        wait_until_ready(started)
        yield started


def changed_gateway(stack: Stack, models: Path, folder: Path, change: Change) -> Part:
    other = repository(models, folder / "other", change)
    return stack.gateway(f"gateway-{folder.name}", port=free_port(), models_dir=str(other))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_gateway_with_another_spec_sends_nothing_and_says_why(
    stack: Stack, models: Path, tmp_path: Path, change: Change
) -> None:
    part = changed_gateway(stack, models, tmp_path, change)
    own = open_repository(tmp_path / "other").specs["iris"].digest
    theirs = open_repository(stack.folder / "same").specs["iris"].digest
    with httpx.Client(base_url=part.url, timeout=30, verify=False) as http:
        eventually(lambda: http.post("/predict", json=ROW).json()["error"] == "model_mismatch")
        detail = http.post("/predict", json=ROW).json()["detail"]
        assert own[:12] in detail
        assert theirs[:12] in detail
        assert not http.get("/health/ready").is_success
        job = http.post("/jobs", json={"model": "iris", "inputs": [ROW]}).json()
        eventually(lambda: waiting(http, job["id"]) == "other_spec")
        http.post(f"/jobs/{job['id']}/cancel")
    part.end()


def waiting(http: httpx.Client, job_id: str) -> str | None:
    found: dict[str, Any] = http.get(f"/jobs/{job_id}").json()
    return found["waiting"]["reason"] if found["waiting"] else None


def test_a_comment_in_a_spec_is_no_difference(stack: Stack, models: Path, tmp_path: Path) -> None:
    part = changed_gateway(stack, models, tmp_path, lambda text: f"# of this gateway\n{text}")
    wait_until_ready(part)
    assert httpx.post(f"{part.url}/predict", json=ROW, verify=False).status_code == 200
    part.end()


def test_a_worker_with_another_spec_leaves_requests_to_a_worker_with_the_same(
    stack: Stack, models: Path, tmp_path: Path
) -> None:
    with stack.client() as http:
        right = http.post("/predict", json=ROW).json()
        other = repository(models, tmp_path / "other", swap_inputs)
        wrong = stack.worker("wrong", models_dir=str(other))
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: http.post("/predict", json=ROW), range(400)))
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.text for answer in answers} == {http.post("/predict", json=ROW).text}
        assert answers[0].json() == right
        jobs = [
            http.post("/jobs", json={"model": "iris", "inputs": [ROW] * 3}).json()["id"] for _ in range(8)
        ]
        for job_id in jobs:
            eventually(lambda job_id=job_id: state(http, job_id) == "succeeded")  # type: ignore[misc]
            (first, *_) = http.get(f"/jobs/{job_id}/results").json()["results"]
            assert first["prediction"] == right["prediction"]
        wrong.end()


def state(http: httpx.Client, job_id: str) -> str:
    return str(http.get(f"/jobs/{job_id}").json()["state"])
