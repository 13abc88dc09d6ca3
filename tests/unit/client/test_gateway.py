"""The SDK against the real gateway in a single process, with Redis in memory and a function as the worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pytest

from api.gateway import Gateway
from takt import AsyncTakt
from takt.errors import Conflict, InvalidInput, NotFound, TryLater
from takt.formats import Format
from takt.retries import NEVER
from tests.unit.gateway_fakes import FakeRedis
from tests.unit.job_stage import job_stage, run_chunks

CSV = b"id,sepal_length,sepal_width,petal_length,petal_width\n" + b"".join(
    b"%d,%d.5,1,1,1\n" % (row, row) for row in range(5)
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[tuple[Gateway, AsyncTakt]]:
    async with (
        job_stage(FakeRedis(), tmp_path) as (gateway, http),
        AsyncTakt("http://gateway", retries=NEVER, transport=http._transport) as takt,
    ):
        yield gateway, takt


async def test_a_file_goes_in_and_comes_out_in_each_format(
    stage: tuple[Gateway, AsyncTakt], tmp_path: Path
) -> None:
    gateway, takt = stage
    job = await takt.submit(CSV, model="iris", format=Format.CSV, id_column="id", tags=["t"], priority=9)
    assert (job.state, job.rows_total, job.tags, job.priority) == ("queued", 5, ("t",), 9)
    with pytest.raises(TryLater, match="queued"):
        await takt.download(job.id, tmp_path / "out.csv")
    await run_chunks(gateway, job.id)
    job = await takt.wait(job.id)
    assert (job.rows_succeeded, job.rows_failed, job.ended) == (5, 0, True)
    expected = [row + 0.5 for row in range(5)]
    assert [row["confidence"] async for row in takt.results(job.id)] == expected
    assert (await takt.results_table(job.id))["confidence"].to_pylist() == expected
    assert (await takt.results_frame(job.id))["confidence"].tolist() == expected
    for each in Format:
        path = tmp_path / f"out.{each}"
        assert await takt.download(job.id, path) == path.stat().st_size > 0


async def test_arrow_and_rows_go_in(stage: tuple[Gateway, AsyncTakt]) -> None:
    gateway, takt = stage
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    table = pa.table({name: [1.0, 2.0, 3.0] for name in names})
    for rows in (table, table.to_pandas(), iter(table.to_pylist()), [[1, 1, 1, 1]] * 3):
        job = await takt.submit(rows, model="iris")
        await run_chunks(gateway, job.id)
        assert (await takt.wait(job.id)).rows_succeeded == 3


async def test_the_same_key_is_the_same_job_and_another_body_is_a_conflict(
    stage: tuple[Gateway, AsyncTakt],
) -> None:
    _, takt = stage
    key = "lot 7"
    jobs = [
        await takt.submit(CSV, model="iris", format=Format.CSV, id_column="id", idempotency_key=key)
        for _ in range(2)
    ]
    assert jobs[0].id == jobs[1].id
    with pytest.raises(Conflict) as conflict:
        await takt.submit(CSV + b"5,1,1,1,1\n", model="iris", format=Format.CSV, idempotency_key=key)
    assert conflict.value.code == "idempotency_conflict"


async def test_a_job_is_steered_and_removed(stage: tuple[Gateway, AsyncTakt]) -> None:
    _, takt = stage
    job = await takt.submit([[1, 1, 1, 1]], model="iris", reference="lot 7")
    assert (await takt.pause(job.id)).state == "paused"
    assert (await takt.resume(job.id)).state == "queued"
    assert (await takt.prioritize(job.id, 2)).priority == 2
    assert [each.id async for each in takt.jobs(reference="lot 7")] == [job.id]
    with pytest.raises(Conflict):
        await takt.delete(job.id)
    assert (await takt.cancel(job.id)).state == "canceled"
    assert [progress.state async for progress in takt.watch(job.id)] == ["canceled"]
    await takt.delete(job.id)
    with pytest.raises(NotFound):
        await takt.job(job.id)


async def test_rows_are_checked_without_a_job(stage: tuple[Gateway, AsyncTakt]) -> None:
    _, takt = stage
    report = await takt.check(CSV + b"5,x,1,1,1\n", model="iris", format=Format.CSV, id_column="id")
    assert (report.valid, report.rows_total, report.rows_invalid) == (False, 6, 1)
    assert [problem.row for problem in report.problems] == [5]
    with pytest.raises(InvalidInput, match="row 1, sepal_width"):
        await takt.submit([[1, 1, 1, 1], [1, "x", 1, 1]], model="iris")
    assert [each async for each in takt.jobs()] == []
    assert (await takt.models())[0].name == "iris"
