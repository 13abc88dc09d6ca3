"""A worker's metrics, and how Prometheus reads them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from shared.keys import ModelKey
from shared.metrics import worker_metrics as metrics
from shared.metrics.exposition import Readings, text_of
from shared.settings import Settings
from shared.worker_records import HeldModel, ModelState, WorkerState
from tests.support.scrapes import Scrape, names_of
from worker.telemetry.exporter import Exporter
from worker.telemetry.metrics import Facts, readings
from worker.telemetry.worker_counters import ChunkCounters, EngineCounters

IRIS = ModelKey("iris@1.0.0")
LABELS = {"model": "iris", "version": "1.0.0"}


def facts_of(engine: EngineCounters | None = None, chunks: ChunkCounters | None = None) -> Facts:
    """A worker that serves iris, and could not load another model."""
    return Facts(
        state=WorkerState.SERVING,
        heartbeats={"sent": 7, "missed": 1},
        models={
            IRIS: HeldModel(state=ModelState.LOADED, load_s=1.5, rows_per_s=900.0, slice_rows_per_s=4000.0),
            "broken@1.0.0": HeldModel(state=ModelState.FAILED, reason="its digest is another"),
        },
        busy_s={"online": 3.0, "offline": 0.5},
        engine={IRIS: engine or EngineCounters()},
        chunks=chunks or ChunkCounters(),
        held_leases=2,
    )


def told(facts: Facts) -> Scrape:
    return Scrape(text_of(Readings(lambda: readings(facts)), "")[0].decode())


# -- readings ----------------------------------------------------------------------------------------------


def test_a_worker_tells_all_that_is_declared_and_nothing_else() -> None:
    assert told(facts_of()).own_names == names_of(metrics.METRICS)


def test_its_state_and_its_models_are_told() -> None:
    found = told(facts_of())
    states = {
        state: found.of(metrics.STATE_NOW, state=state) for state in ("starting", "serving", "draining")
    }
    assert states == {"starting": 0, "serving": 1, "draining": 0}
    assert found.of(metrics.LOADED, **LABELS) == 1
    assert found.of(metrics.LOADED, model="broken", version="1.0.0") == 0
    assert found.of(metrics.LOAD_TIME, **LABELS) == 1.5
    assert found.of(metrics.RATE, **LABELS, lane="offline") == 4000
    assert found.of(metrics.BUSY, lane="online") == 3
    assert found.of(metrics.HEARTBEATS, outcome="missed") == 1
    assert found.of(metrics.LEASES) == 2


def test_a_batch_is_told_with_its_rows_and_what_failed_of_it() -> None:
    engine = EngineCounters()
    engine.online.ran(rows=32, took_s=0.002)
    engine.answered(parts=10, rows=32, failed_parts=1, failed_rows=4)
    found = told(facts_of(engine))
    assert found.value("takt_batch_rows_sum", **LABELS, lane="online") == 32
    assert found.of(metrics.PREDICT_DURATION, **LABELS, lane="online") == 1
    assert found.of(metrics.PARTS, **LABELS, outcome="answered") == 9
    assert found.of(metrics.ROWS_ENDED, **LABELS, lane="online", outcome="failed") == 4
    assert found.of(metrics.ROWS_ENDED, **LABELS, lane="online", outcome="succeeded") == 28


def test_a_chunk_is_told_with_its_attempts_rows_and_outcome() -> None:
    chunks = ChunkCounters()
    for attempt in (1, 2, 3):
        chunks.claimed(IRIS, attempt)
    chunks.quarantined(IRIS)
    chunks.committed(IRIS, rows_succeeded=90, rows_failed=10)
    chunks.ended(IRIS, "committed", 2.5)
    chunks.renewed("ended")
    found = told(facts_of(chunks=chunks))
    counts = (metrics.ATTEMPTS, metrics.RETRIES, metrics.QUARANTINES, metrics.CHUNK_DURATION)
    assert [found.of(metric, **LABELS) for metric in counts] == [3, 2, 1, 1]
    assert found.of(metrics.ROWS_ENDED, **LABELS, lane="offline", outcome="failed") == 10
    assert found.of(metrics.CHUNKS, **LABELS, outcome="committed") == 1
    assert found.of(metrics.RENEWALS, outcome="ended") == 1


def test_an_outcome_is_told_before_it_happens() -> None:
    found = told(facts_of())
    assert found.of(metrics.CHUNKS, **LABELS, outcome="lost") == 0
    assert found.of(metrics.PARTS, **LABELS, outcome="given_up") == 0


# -- the exporter ------------------------------------------------------------------------------------------


@pytest.fixture
def make_settings(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    url = tmp_path_factory.mktemp("payloads").as_uri()

    def make(**changes: Any) -> Settings:
        return Settings(payload_url=url, **changes)

    return make


@contextmanager
def exporting(settings: Settings) -> Iterator[Exporter]:
    exporter = Exporter(settings, lambda: readings(facts_of()))
    exporter.start()
    try:
        yield exporter
    finally:
        exporter.stop()


def test_a_worker_is_asked_at_its_own_port(make_settings: Callable[..., Settings]) -> None:
    with exporting(make_settings(worker_metrics_port=0)) as exporter:
        answer = httpx.get(f"http://{exporter.address}/metrics", timeout=20.0)
    assert answer.headers["content-type"].startswith("text/plain")
    assert Scrape(answer.text).of(metrics.LEASES) == 2


def test_without_a_port_nothing_is_exported(make_settings: Callable[..., Settings]) -> None:
    with exporting(make_settings()) as exporter:
        assert exporter.address == ""


def test_a_port_that_is_taken_ends_no_worker(make_settings: Callable[..., Settings]) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    settings = make_settings(worker_metrics_port=taken.getsockname()[1])
    with taken, exporting(settings) as exporter:
        assert exporter.address == ""


def test_a_worker_that_listens_on_every_address_is_found_by_its_host_name(
    make_settings: Callable[..., Settings],
) -> None:
    with exporting(make_settings(worker_metrics_port=0, worker_metrics_host="0.0.0.0")) as exporter:
        assert exporter.address.rpartition(":")[0] == socket.gethostname()
