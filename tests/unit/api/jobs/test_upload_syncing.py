"""A job is sealed only after its rows and their names are on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.gateway import Gateway
from api.jobs.upload_syncing import Syncing
from shared.errors import PayloadError, PayloadStoreAwayError
from shared.payloads import PayloadStore, rows_path
from tests.unit.gateway_fakes import FakeRedis
from tests.unit.job_stage import job_stage, submission

CSV = "sepal_length,sepal_width,petal_length,petal_width\n" + "5.1,3.5,1.4,0.2\n" * 5


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    async with job_stage(FakeRedis(), tmp_path) as started:
        yield started


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_a_job_is_sealed_once_every_object_of_it_was_synced(
    stage: tuple[Gateway, httpx.AsyncClient], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, http = stage
    events: list[str] = []
    _record(monkeypatch, gateway.jobs.payloads, "sync_async", events)
    _record(monkeypatch, gateway.jobs.payloads, "sync_name_async", events)
    for end in ("seal", "fill"):
        _record(monkeypatch, gateway.jobs.ledger, end, events)
    if form == "json":
        answer = await http.post("/jobs", json=submission(5))
    else:
        answer = await http.post("/jobs?model=iris", content=CSV, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 202
    assert events == ["sync_async"] * 3 + ["sync_name_async", "fill" if form == "json" else "seal"]


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_a_job_whose_rows_cannot_be_synced_is_not_accepted(
    stage: tuple[Gateway, httpx.AsyncClient], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, http = stage

    async def broken(path: str) -> None:
        raise PayloadStoreAwayError(f"cannot write {path}: I/O error")

    monkeypatch.setattr(gateway.jobs.payloads, "sync_async", broken)
    if form == "json":
        answer = await http.post("/jobs", json=submission(5))
    else:
        answer = await http.post("/jobs?model=iris", content=CSV, headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()["error"]) == (503, "payload_unavailable")


async def test_an_object_that_was_removed_as_it_was_synced_fails_the_next_step(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path.as_uri(), fsync=True)
    syncing = Syncing(store)
    await syncing.put(rows_path("job", 0), b"x")
    store.remove(rows_path("job", 0))
    with pytest.raises(PayloadError):
        await syncing.ended()


def _record(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, events: list[str]) -> None:
    call = getattr(owner, name)

    async def recorded(*args: Any, **options: Any) -> Any:
        answer = await call(*args, **options)
        await asyncio.sleep(0)
        events.append(name)
        return answer

    monkeypatch.setattr(owner, name, recorded)
