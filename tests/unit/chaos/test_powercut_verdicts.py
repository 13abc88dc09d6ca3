"""The verdicts of the power-cut suite: losses and faults."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest

from shared import keys
from tests.powercut.disk import CutFolder
from tests.powercut.load import Accepted
from tests.powercut.verdicts import account_of, dangling

JOB = Accepted(id="j1", key="k1", rows=1, at_s=100.0)
DONE: dict[str, Any] = {"state": "succeeded", "finished_at": "now", "rows_succeeded": 1, "rows_failed": 0}


def gateway(record: dict[str, Any] | None, results: int = 200, again: int = 202) -> httpx.Client:
    """A service that has this job, or has lost it."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(again, json={"id": "j1"})
        if request.url.path.endswith("/results"):
            return httpx.Response(results, json={"results": [{"prediction": "setosa"}]})
        return httpx.Response(404) if record is None else httpx.Response(200, json=record)

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://gateway")


def faults(http: httpx.Client, *, cut_at_s: float, durability: str = "memory") -> list[str]:
    server = fakeredis.FakeRedis()
    return account_of(http, server, [JOB], cut_at_s=cut_at_s, durability=durability).faults


def test_a_job_that_is_there_with_its_results_is_no_fault() -> None:
    assert faults(gateway(DONE), cut_at_s=200.0, durability="disk") == []


@pytest.mark.parametrize(
    ("durability", "age_s", "is_fault"),
    [("memory", 1.9, False), ("memory", 2.1, True), ("disk", 0.0, False), ("disk", 0.1, True)],
)
def test_a_lost_job_is_a_fault_if_it_is_older_than_the_documents_say(
    durability: str, age_s: float, is_fault: bool
) -> None:
    assert bool(faults(gateway(None), cut_at_s=100.0 + age_s, durability=durability)) is is_fault


def test_a_job_whose_seal_was_lost_counts_as_lost() -> None:
    broken = DONE | {"state": "failed", "rows_succeeded": 0, "error": {"code": "upload_interrupted"}}
    assert faults(gateway(broken), cut_at_s=101.0) == []
    assert faults(gateway(broken), cut_at_s=103.0)


def test_a_succeeded_job_without_results_a_failed_row_and_a_key_that_leads_nowhere_are_faults() -> None:
    assert "results are 409" in faults(gateway(DONE, results=409), cut_at_s=100.5)[0]
    failed = DONE | {"rows_succeeded": 0, "rows_failed": 1, "error": None}
    assert "1 failed rows" in faults(gateway(failed), cut_at_s=100.5)[0]
    assert "is answered 404" in faults(gateway(DONE, again=404), cut_at_s=100.5)[0]


def test_an_index_or_a_key_that_names_no_job_is_found() -> None:
    server = fakeredis.FakeRedis()
    server.hset(keys.job("there"), "state", "queued")
    server.zadd(keys.jobs(), {"there": 1, "gone": 2})
    server.hset(keys.idempotency("o:1"), mapping={"job": "lost", "digest": "sha"})
    server.hset(keys.idempotency("o:2"), mapping={"job": "reserved"})  # its lease frees it
    found = dangling(server)
    assert [text.split(" names ")[1].split(",")[0] for text in found] == ["gone", "lost"]


def test_where_nothing_can_be_mounted_the_unsynced_end_of_the_log_is_lost(tmp_path: Path) -> None:
    disk = CutFolder(tmp_path, unsynced_s=0.0, chance=random.Random(3))
    log = disk.folder / "appendonly.aof.1.incr.aof"
    log.write_bytes(b"synced")
    unfinished = disk.folder / "payloads" / "job" / "00000000#1"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"half")
    disk.restart()
    assert log.read_bytes().rstrip(b"\0") == b"synced"
    assert not unfinished.exists()
    lossy = CutFolder(tmp_path / "lossy", unsynced_s=0.001, chance=random.Random(1))
    log = lossy.folder / "appendonly.aof.1.incr.aof"
    log.write_bytes(b"synced")
    lossy.watch()
    end_s = time.monotonic() + 0.01
    while time.monotonic() < end_s:
        pass
    log.write_bytes(b"synced" + b"x" * 1000)
    lossy.restart()
    assert log.read_bytes().startswith(b"synced")
    assert len(log.read_bytes().rstrip(b"\0")) < 1006
