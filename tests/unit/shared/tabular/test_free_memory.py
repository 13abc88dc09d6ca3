"""A gateway without memory answers `overloaded`, not a client error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httptools
import pyarrow as pa
import pytest

from api.http.error_answers import answer_of, foreseen
from shared import arrow_tables
from shared.errors import OverloadedError
from shared.tabular import free_memory
from shared.tabular.content_types import Packing, Wrapping
from shared.tabular.file_formats import FileFormat
from shared.tabular.free_memory import LEAST_ROOM_BYTES, STACKS_BYTES, require_room
from shared.tabular.reading import _foreign_errors
from tests.unit.gateway_fakes import FakeRedis
from tests.unit.upload_stage import AS_CSV, CSV, KEY, Stage, post, upload_stage


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def stage(client: FakeRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    async with upload_stage(client, tmp_path) as started:
        yield started


def test_there_is_room_here() -> None:
    require_room()


@pytest.mark.parametrize("error", [MemoryError(), pa.ArrowMemoryError("malloc of size 64 failed")])
def test_running_out_of_memory_is_the_gateways_condition(error: Exception) -> None:
    status, headers, body = answer_of(foreseen(error), "r")
    assert status == 503
    assert b"overloaded" in body
    assert b"malloc" not in body
    assert dict(headers)[b"retry-after"] == b"5"


def test_a_reader_without_memory_does_not_blame_the_file() -> None:
    wrapping = Wrapping(FileFormat.CSV, Packing.NONE)
    with pytest.raises(MemoryError), _foreign_errors(wrapping):
        raise pa.ArrowMemoryError("malloc of size 64 failed")


def test_a_stored_chunk_that_does_not_fit_is_not_called_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = pa.schema([("x", pa.float64())])
    data = arrow_tables.write_ipc([pa.record_batch({"x": [1.0]}, schema)], schema)

    def refuse(_: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 64 failed")

    monkeypatch.setattr(pa.ipc, "open_stream", refuse)
    with pytest.raises(MemoryError):
        arrow_tables.read_ipc(data)


async def test_an_upload_that_finds_no_memory_is_refused_before_its_job_exists(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, http = stage
    monkeypatch.setattr(free_memory, "_rooms", lambda: iter([10**12, LEAST_ROOM_BYTES - 1]))
    refused = await post(http, CSV, AS_CSV | KEY)
    assert (refused.status_code, refused.json()["error"]) == (503, "overloaded")
    assert await gateway.jobs.ledger.newest(None, before_ms=None, most=5) == []
    monkeypatch.undo()
    assert (await post(http, CSV, AS_CSV | KEY)).status_code == 202


async def test_an_upload_is_broken_off_once_memory_runs_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, http = stage
    rooms = iter([LEAST_ROOM_BYTES] * 3 + [0] * 100)
    monkeypatch.setattr(free_memory, "_rooms", lambda: iter([next(rooms)]))
    refused = await post(http, CSV)
    assert (refused.status_code, refused.json()["error"]) == (503, "overloaded")
    [job] = await gateway.jobs.ledger.newest(None, before_ms=None, most=5)
    assert job.error is not None
    assert job.error.code == "overloaded"


def test_a_containers_page_cache_counts_as_free_memory(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\nfile 350\ninactive_file 300\nactive_file 50\n")
    assert list(free_memory._rooms_of_cgroup(tmp_path)) == [450]
    (tmp_path / "memory.max").write_text("max\n")
    assert list(free_memory._rooms_of_cgroup(tmp_path)) == []
    assert list(free_memory._rooms_of_cgroup(tmp_path / "none")) == []


def test_a_processs_own_limit_counts_the_stacks_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (10**9, 10**9))
    assert list(free_memory._rooms_of_process({"VmData": 10**8})) == [9 * 10**8 - STACKS_BYTES]
    assert list(free_memory._rooms_of_process({})) == []


def test_no_memory_while_a_head_is_read_is_not_a_bad_request() -> None:
    """httptools hides exceptions of a callback; see `LimitedProtocol.send_400_response`."""

    class Callbacks:
        def on_url(self, _: bytes) -> None:
            raise MemoryError

    with pytest.raises(httptools.HttpParserCallbackError) as hidden:
        httptools.HttpRequestParser(Callbacks()).feed_data(b"GET / HTTP/1.1\r\n\r\n")
    assert isinstance(hidden.value.__context__, MemoryError)


def test_the_rejection_has_a_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "_rooms", lambda: iter([0]))
    with pytest.raises(OverloadedError, match="too little memory") as refusal:
        require_room()
    assert refusal.value.retry_after_s == 5.0
