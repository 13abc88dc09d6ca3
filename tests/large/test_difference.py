"""A candidate that is wrong in 0.1 % of the stored rows: its replay names them exactly, in bounded memory."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.large.conftest import Say
from tests.support.bodies import arrow_stream
from tests.support.callers import finished, handed_over
from tests.support.candidates import RIGHT, STEPS, WRONG, build_candidates, flower, is_wrong
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import Part, running, wait_until_ready

pytestmark = [pytest.mark.large, pytest.mark.timeout(900)]

NUMBERS = 20_000
"""Different rows of the candidates; further rows repeat them."""
MOST_BYTES = 300 * 2**20
"""The memory that a comparison may add to a gateway."""


@pytest.fixture
def gateway(queue: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Part, httpx.Client]]:
    folder = tmp_path_factory.mktemp("models")
    build_candidates(folder, (RIGHT, WRONG))
    with running(queue.url, tmp_path_factory.mktemp("stack"), models_dir=str(folder)) as stack:
        part = stack.gateway()
        stack.worker("w1", workers="1")
        wait_until_ready(part)
        with stack.client(timeout_s=300) as http:
            target = {"wanted": [RIGHT, WRONG], "default": RIGHT}
            assert http.put("/models/iris/deployment", json=target).status_code == 200
            eventually(lambda: _all_held(http), limit_s=120)
            yield part, http


def _all_held(http: httpx.Client) -> bool:
    versions = http.get("/models/iris/deployment").json()["versions"]
    return {one["state"] for one in versions} == {"held"}


def _group_bytes(pid: int) -> int:
    """Resident memory of a gateway with its processes."""
    gateway = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (gateway, *gateway.children(recursive=True)))


def test_a_replay_names_the_wrong_rows_among_a_million(
    gateway: tuple[Part, httpx.Client], rows: int, say: Say
) -> None:
    part, http = gateway
    numbers = np.arange(rows) % NUMBERS
    columns = {name: np.full(rows, value) for name, value in flower(0).items()}
    table = pa.table(columns | {"sepal_length": numbers / STEPS})
    job = finished(http, handed_over(http, "iris", arrow_stream(table, rows)), limit_s=300)
    begun_s = time.monotonic()
    replay = http.post(f"/jobs/{job['id']}/replay", json={"version": WRONG})
    submitted_s = time.monotonic() - begun_s
    found = finished(http, replay.headers["location"], limit_s=300)
    before_bytes, begun_s = _group_bytes(part.pid), time.monotonic()
    report = http.get(f"/jobs/{job['id']}/difference", params={"against": found["id"]}).json()
    reported_s, begun_s = time.monotonic() - begun_s, time.monotonic()
    asked = {"against": found["id"], "format": "parquet"}
    answer = http.get(f"/jobs/{job['id']}/difference", params=asked)
    written_s, added_bytes = time.monotonic() - begun_s, _group_bytes(part.pid) - before_bytes
    wrong = [row for row, number in enumerate(numbers.tolist()) if is_wrong(number)]
    say(
        f"{rows:,} rows: replay submitted in {submitted_s:.2f} s, report in {reported_s:.2f} s, "
        f"{len(wrong):,} differing rows in {written_s:.2f} s, {added_bytes / 2**20:.0f} MiB more memory"
    )
    assert (report["rows"], report["different"], report["equal"]) == (rows, len(wrong), rows - len(wrong))
    assert pq.read_table(io.BytesIO(answer.content))["row"].to_pylist() == wrong
    assert added_bytes < MOST_BYTES
