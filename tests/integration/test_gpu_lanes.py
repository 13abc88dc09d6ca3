"""A worker on a CUDA device: requests are answered while a job keeps the device busy, and both are right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.support.bodies import arrow_stream
from tests.support.callers import finished, handed_over
from tests.support.servers import Server
from tests.support.stack import running

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.integration,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

DEVICE = "cuda:0"
JOB_ROWS = 3_000_000


@pytest.fixture(scope="module")
def http(models: Path, valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A gateway, and a worker with the classifier on the device."""
    folder = tmp_path_factory.mktemp("gpu")
    with running(valkey.url, folder, models="classifier", device=DEVICE) as stack:
        stack.gateway()
        stack.worker("gpu")
        with stack.client() as client:
            yield client


def rows_of(count: int) -> pa.Table:
    values = np.random.default_rng(7).normal(size=count * 10).astype(np.float32)
    return pa.table({"features": pa.FixedSizeListArray.from_arrays(pa.array(values), 10)})


def test_requests_are_answered_alike_while_a_job_keeps_the_device_busy(http: httpx.Client) -> None:
    body = http.get("/models/classifier").json()["example"]
    alone = http.post("/models/classifier/predict", json=body).raise_for_status().json()
    place = handed_over(http, "classifier", arrow_stream(rows_of(100_000), JOB_ROWS))
    beside = 0
    while http.get(place).json()["state"] not in ("succeeded", "failed", "canceled"):
        answer = http.post("/models/classifier/predict", json=body).raise_for_status().json()
        assert answer["predicted_class"] == alone["predicted_class"]
        assert np.allclose(answer["probabilities"], alone["probabilities"], rtol=0, atol=1e-3)
        beside += 1
    job = finished(http, place)
    assert (job["state"], job["rows_succeeded"]) == ("succeeded", JOB_ROWS)
    assert beside > 0


def test_the_device_is_said_where_a_worker_is_shown(http: httpx.Client) -> None:
    [holder] = http.get("/models/classifier").json()["workers"]
    assert holder["device"] == DEVICE
    [worker] = http.get("/workers").json()["workers"]
    assert worker["device"] == DEVICE
