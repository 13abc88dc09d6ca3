"""Loading and unloading change the deployment, and wait until the workers have followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.gateway import Gateway
from api.routes.inference_protocol import repository_models
from api.routes.inference_protocol.repository_models import loading, unloading, version_of
from shared.deployments import Change, Deployment, Target
from shared.errors import InvalidInputError, InvalidStateError
from tests.unit.gateway_fakes import (
    CLASSIFIER,
    IRIS,
    FakeRedis,
    FakeWorker,
    running_gateway,
    serving,
    until,
)

ONE = Target(wanted=("1.0.0",), default="1.0.0")
TWO = Target(wanted=("1.0.0", "1.1.0"), default="1.0.0")
OLDER, NEWER = Target(wanted=("0.1.0",), default="0.1.0"), Target(wanted=("1.1.0",), default="1.1.0")
BUILT = {"1.0.0", "1.1.0"}
LOAD, UNLOAD = (f"/v2/repository/models/iris/{action}" for action in ("load", "unload"))


def stored(target: Target, generation: int = 1) -> Deployment:
    """A deployment; generation 0: as model.toml declares it."""
    return Deployment(model="iris", target=target, change=Change(by="mes"), generation=generation)


GONE = Target(wanted=TWO.wanted, default="1.0.0", unloaded=True)


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        (stored(ONE), None, ONE),
        (stored(ONE), "1.1.0", TWO),
        (stored(TWO), "1.1.0", TWO),
        (stored(GONE), None, TWO),
        (stored(GONE), "1.1.0", NEWER),
        (stored(OLDER), None, OLDER),
        (stored(OLDER, 0), None, NEWER),
        (stored(OLDER, 0), "1.0.0", ONE),
    ],
)
def test_a_load_wants_the_version_or_what_was_wanted_before(
    before: Deployment, version: str | None, after: Target
) -> None:
    assert loading(before, version, BUILT) == after


@pytest.mark.parametrize(
    ("before", "version", "wanted"),
    [(TWO, None, ()), (TWO, "1.1.0", ("1.0.0",)), (ONE, "1.0.0", ()), (ONE, "1.1.0", ("1.0.0",))],
)
def test_an_unload_leaves_the_other_versions(
    before: Target, version: str | None, wanted: tuple[str, ...]
) -> None:
    assert unloading(before, version).loaded == wanted


def test_a_version_that_the_deployment_needs_is_not_unloaded() -> None:
    with pytest.raises(InvalidStateError, match=r"default: 1\.0\.0 is not among"):
        unloading(TWO, "1.0.0")
    aliased = Target(wanted=TWO.wanted, default="1.0.0", aliases={"candidate": "1.1.0"})
    with pytest.raises(InvalidStateError, match="aliases"):
        unloading(aliased, "1.1.0")


@pytest.mark.parametrize(
    "parameters", [{"config": "{}"}, {"file:1/model.onnx": "AA=="}, {"version": 1}, {"version": ["1.0.0"]}]
)
def test_what_cannot_be_loaded_from_a_request_is_refused(parameters: Mapping[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        version_of(parameters)


@dataclass
class Stage:
    gateway: Gateway
    http: httpx.AsyncClient
    worker: FakeWorker


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    client = FakeRedis()
    async with running_gateway(client, tmp_path) as (gateway, http):
        worker = FakeWorker(client, IRIS, CLASSIFIER)
        async with serving(worker, gateway):
            yield Stage(gateway, http, worker)


async def test_an_unloaded_model_is_not_ready_until_it_is_loaded(stage: Stage) -> None:
    unload = asyncio.create_task(stage.http.post(UNLOAD))
    await until(lambda: stage.gateway.is_unloaded("iris"))
    assert not unload.done(), "the worker holds it still"
    await stage.worker.withdraw()
    only_classifier = FakeWorker(stage.worker.client, CLASSIFIER)
    await only_classifier.beat()
    assert (await unload).status_code == 200
    assert (await stage.http.get("/v2/models/iris/ready")).status_code == 503
    assert (await stage.http.get("/v2/health/ready")).status_code == 200, "the other model is served"
    index = {each["name"]: each for each in (await stage.http.post("/v2/repository/index")).json()}
    assert (index["iris"]["state"], index["iris"]["reason"]) == ("UNAVAILABLE", "unloaded")
    view = (await stage.http.get("/models/iris/deployment")).json()
    assert (view["unloaded"], view["default"], view["generation"]) == (True, "1.0.0", 1)
    refused = await stage.http.post("/models/iris/rollouts", json={"to": "1.0.0", "steps": [100]})
    assert (refused.status_code, "is unloaded" in refused.json()["detail"]) == (409, True)

    load = asyncio.create_task(stage.http.post(LOAD, content=b'{"parameters": {}}'))
    await until(lambda: not stage.gateway.is_unloaded("iris"))
    await stage.worker.beat()
    assert (await load).status_code == 200
    assert (await stage.http.get("/v2/models/iris/ready")).status_code == 200


async def test_a_load_of_what_is_held_changes_nothing(stage: Stage) -> None:
    assert (await stage.http.post(LOAD)).status_code == 200
    assert (await stage.http.get("/models/iris/deployment")).json()["generation"] == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        (LOAD, {"parameters": {"version": "7.0.0"}}, 404, "no version '7.0.0'"),
        (LOAD, {"parameters": {"config": "{}"}}, 400, "'config' is not supported"),
        (UNLOAD, {"parameters": 1}, 400, "The body must be empty"),
        (UNLOAD, {"parameters": {"version": "7.0.0"}}, 404, "no version '7.0.0'"),
        (LOAD.replace("iris", "nope"), {}, 404, "There is no model 'nope'"),
    ],
)
async def test_an_error_is_a_sentence(
    stage: Stage, path: str, body: dict[str, Any], status: int, reason: str
) -> None:
    answer = await stage.http.post(path, json=body)
    assert answer.status_code == status
    assert reason in answer.json()["error"]


async def test_workers_that_do_not_follow_are_reported(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(is_settled: Any, limit_s: float) -> None:
        assert not is_settled()

    monkeypatch.setattr(repository_models, "_followed", at_once)
    answer = await stage.http.post(UNLOAD)
    assert answer.status_code == 409
    assert "Workers still hold iris 1.0.0" in answer.json()["error"]
