"""History of the last hour: the counts of all processes add up in slots, and are read as rates and
quantiles."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakeredis import FakeStrictRedis

from api.online.history_writer import HistoryWriter, read_history
from shared import keys
from shared.history import BOUNDS_MS, KEPT_S, SLOT_S, SPAN_S, Count, add_to_slot, quantile_ms, slots_until
from shared.history import count_field as field_of
from tests.unit.gateway_fakes import IRIS_KEY, FakeRedis, running_gateway
from worker.telemetry.worker_counters import ChunkCounters, WorkerHistory

TIMES_MS = {"validate": 0.5, "predict": 2.5}


def test_an_hour_is_120_slots_and_the_last_is_that_of_now() -> None:
    slots = slots_until(1_000_000)
    assert (len(slots), slots[-1], slots[-1] - slots[0]) == (SPAN_S // SLOT_S, 999_990, SPAN_S - SLOT_S)


def test_a_quantile_is_interpolated_within_its_bucket_and_none_without_requests() -> None:
    counts = [0] * (len(BOUNDS_MS) + 1)
    assert quantile_ms(counts, 0.5) is None
    counts[4] = 10  # 1.4 to 2 ms
    assert quantile_ms(counts, 0.5) == pytest.approx(1.7)
    counts[-1] = 1000
    assert quantile_ms(counts, 0.99) == BOUNDS_MS[-1]


def test_a_slot_is_forgotten_a_little_after_an_hour() -> None:
    client = FakeStrictRedis()
    pipeline = client.pipeline()
    add_to_slot(pipeline, 95, {field_of(IRIS_KEY, Count.ROWS): 3})
    pipeline.execute()
    assert KEPT_S - 5 <= client.ttl(keys.history(90)) <= KEPT_S
    assert KEPT_S > SPAN_S + SLOT_S


def test_a_worker_tells_each_row_once_and_what_came_meanwhile_the_next_time() -> None:
    counters = ChunkCounters()
    part = WorkerHistory(counters)
    counters.committed(IRIS_KEY, rows_succeeded=9, rows_failed=1)
    counts = part.counts()
    counters.committed(IRIS_KEY, rows_succeeded=5, rows_failed=0)
    part.written(counts)
    assert counts == {field_of(IRIS_KEY, Count.JOB_ROWS): 10}
    assert part.counts() == {field_of(IRIS_KEY, Count.JOB_ROWS): 5}


async def test_two_gateways_and_a_worker_add_up_and_nothing_is_told_twice(tmp_path: Path) -> None:
    client = FakeRedis()
    for _ in range(2):
        async with running_gateway(client, tmp_path) as (gateway, http):
            iris = gateway.catalog.find("iris")
            for _ in range(10):
                iris.times.add(TIMES_MS, 4, 64, 0.0)
            iris.counters.failed.update(["overloaded", "validation_error", "client_left"])
            writer = HistoryWriter(client, gateway.catalog)
            await writer.write()
            await writer.write()
    pipeline = client.pipeline()
    seconds, _ = await client.time()
    add_to_slot(pipeline, seconds, {field_of(IRIS_KEY, Count.JOB_ROWS): 1000})
    await pipeline.execute()
    async with running_gateway(client, tmp_path) as (gateway, http):
        await gateway.online.dispatcher._open()
        told = (await http.get("/history")).json()
        other = (await http.get("/history", params={"model": "quality"})).json()
    total = told["total"]
    assert (len(told["slots"]), told["slot_s"]) == (120, 30)
    sums = {name: sum(total[name]) for name in ("requests", "rows", "errors", "job_rows")}
    assert sums == {"requests": 20, "rows": 80, "errors": 2, "job_rows": 1000}
    assert told["models"] == {IRIS_KEY: total}
    assert [ms for ms in total["p50_ms"] if ms is not None][-1] == pytest.approx(3.4, abs=0.6)
    assert other["models"] == {}


async def test_a_slot_that_cannot_be_read_whole_is_read_as_far_as_it_can_be() -> None:
    client = FakeRedis()
    seconds, _ = await client.time()
    slot = keys.history(seconds // SLOT_S * SLOT_S)
    await client.hset(slot, mapping={f"{IRIS_KEY}|rows": 2, f"{IRIS_KEY}|later": 1, "?": "x", "|ms999": 1})
    _, slots = await read_history(client)
    newest = slots[max(slots)] or slots[sorted(slots)[-2]]  # the clock may have gone on to the next
    assert newest[IRIS_KEY].counts[Count.ROWS] == 2
