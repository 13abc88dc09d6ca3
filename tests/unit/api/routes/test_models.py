"""`GET /models/{name}` and `GET /workers`: the reports of workers about their models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from msgspec import structs

from api.gateway import Gateway
from shared import keys
from shared.worker_records import HeldModel, ModelState, from_hash, to_hash
from tests.unit.gateway_fakes import IRIS, IRIS_KEY, WORKER, FakeRedis, FakeWorker
from tests.unit.job_stage import job_stage

Stage = tuple[Gateway, httpx.AsyncClient, FakeWorker]
VERSIONS = {"scikit-learn": "1.9.1", "numpy": "2.4.0"}
WARNING = "Trying to unpickle estimator RandomForestClassifier from version 1.3.2 when using version 1.9.1."
FOREIGN = (
    "\x1b[1mOSError\x1b[0m: cannot read /srv/takt/models/iris/1.0.0/model.joblib. "
    "Please see https://example.org. Set FOO=1 to debug.\nTraceback …"
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    client = FakeRedis()
    async with job_stage(client, tmp_path) as (gateway, http):
        yield gateway, http, FakeWorker(client, IRIS)


async def report(stage: Stage, held: HeldModel) -> None:
    """The worker reports this of the model, and the gateway knows it."""
    gateway, _, worker = stage
    await worker.beat()
    record = from_hash(await worker.client.hgetall(keys.worker(WORKER)))
    assert record is not None
    await worker.client.hset(
        keys.worker(WORKER), mapping=to_hash(structs.replace(record, models={IRIS_KEY: held}))
    )
    await gateway.fleet.watch.renew()


async def test_a_model_has_the_versions_that_built_it_and_the_warnings_of_its_load(stage: Stage) -> None:
    held = HeldModel(state=ModelState.LOADED, built_with=VERSIONS, warnings=(WARNING, "another"))
    await report(stage, held)
    for path in ("/models/iris", "/models/iris/versions/1.0.0"):
        model = (await stage[1].get(path)).json()
        assert model["built_with"] == VERSIONS
        assert [worker["warnings"] for worker in model["workers"]] == [[WARNING, "another"]]


async def test_a_load_failure_is_shown_without_paths_escape_codes_and_advice(stage: Stage) -> None:
    await report(stage, HeldModel(state=ModelState.FAILED, reason=FOREIGN, warnings=(FOREIGN,)))
    shown = "OSError: cannot read model.joblib."
    (worker,) = (await stage[1].get("/models/iris")).json()["workers"]
    assert (worker["state"], worker["reason"], worker["warnings"]) == ("failed", shown, [shown])
    answer = await stage[1].get("/workers")
    assert shown in answer.text
    for path in ("/models/iris", "/workers"):
        text = (await stage[1].get(path)).text
        assert not any(part in text for part in ("/srv", "\\u001b", "Please", "Traceback", "example.org"))


async def test_an_output_has_its_type_and_its_classes(stage: Stage) -> None:
    prediction, confidence = (await stage[1].get("/models/iris")).json()["outputs"]
    assert (prediction["view"], prediction["type"]) == ("label", "string")
    assert prediction["classes"] == ["setosa", "versicolor", "virginica"]
    assert (confidence["type"], confidence["from"], confidence["nullable"]) == ("float64", "", False)
