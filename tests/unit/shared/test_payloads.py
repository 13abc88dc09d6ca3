"""The payload store: guarantees of a folder, its limit, its error messages, and valid URLs."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared import payload_folder
from shared.errors import PayloadError
from shared.payload_folder import PayloadFolder
from shared.payloads import PayloadStore, open_payloads, result_path, rows_path
from shared.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "payloads with a blank"


@pytest.fixture
def store(folder: Path) -> PayloadStore:
    return PayloadStore(folder.as_uri())


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Limit the size of files of this process: for a writer, this looks like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_what_is_put_is_read_by_threads_and_by_asyncio(store: PayloadStore) -> None:
    async def there_and_back() -> bytes:
        await store.put_async(rows_path("job", 1), b"two")
        return await store.get_async(rows_path("job", 0))

    store.put(rows_path("job", 0), b"one")
    assert asyncio.run(there_and_back()) == b"one"
    assert store.get(rows_path("job", 1)) == b"two"


def test_an_object_that_is_not_there_is_named(store: PayloadStore) -> None:
    with pytest.raises(PayloadError, match="cannot read job/in/00000007"):
        store.get(rows_path("job", 7))
    with pytest.raises(PayloadError, match="cannot read job/in/00000007"):
        asyncio.run(store.get_async(rows_path("job", 7)))


def test_an_error_is_a_single_line(store: PayloadStore) -> None:
    with pytest.raises(PayloadError) as caught:
        store.get(rows_path("job", 7))
    assert "\n" not in caught.value.detail


def test_a_write_that_fails_midway_is_named_and_leaves_no_half_object(
    store: PayloadStore, folder: Path
) -> None:
    store.put(rows_path("job", 0), b"before")
    with largest_file(100_000), pytest.raises(PayloadError, match="cannot write job/in/00000001"):
        store.put(rows_path("job", 1), bytes(200_000))
    assert [path.read_bytes() for path in files(folder)] == [b"before"]


def test_a_write_of_asyncio_that_fails_midway_leaves_no_half_object(
    store: PayloadStore, folder: Path
) -> None:
    with largest_file(100_000), pytest.raises(PayloadError, match="cannot write job/in/00000001"):
        asyncio.run(store.put_async(rows_path("job", 1), bytes(200_000)))
    assert files(folder) == []


def test_a_failed_write_leaves_the_older_object_as_it_was(store: PayloadStore) -> None:
    store.put(rows_path("job", 0), b"older")
    with largest_file(100_000), pytest.raises(PayloadError):
        store.put(rows_path("job", 0), bytes(200_000))
    assert store.get(rows_path("job", 0)) == b"older"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PayloadError, match="file/payloads: cannot be used"):
        PayloadStore((tmp_path / "file" / "payloads").as_uri())


def test_removing_a_job_removes_all_of_it_and_nothing_else(store: PayloadStore, folder: Path) -> None:
    for path in (rows_path("job", 0), result_path("job", 0, "token"), rows_path("job2", 0)):
        store.put(path, b"x")
    (folder / "job" / "in" / "00000003#1").write_bytes(b"a killed writer's")
    store.remove_job("job")
    assert not (folder / "job").exists()
    assert store.get(rows_path("job2", 0)) == b"x"


def test_removing_a_job_that_stored_nothing_is_nothing(store: PayloadStore) -> None:
    store.remove_job("nobody")


def test_a_budget_counts_what_every_process_stored(folder: Path) -> None:
    store, other = PayloadStore(folder.as_uri(), max_bytes=1000), PayloadStore(folder.as_uri())
    other.put(rows_path("theirs", 0), bytes(300))
    assert store.free_bytes() == 700
    store.put(rows_path("mine", 0), bytes(200))
    assert store.free_bytes() == 500
    assert store.fits(500)
    assert not store.fits(501)


def test_a_budget_that_is_overdrawn_leaves_nothing_free(folder: Path) -> None:
    store = PayloadStore(folder.as_uri(), max_bytes=1000)
    store.put(rows_path("job", 0), bytes(1500))
    assert store.free_bytes() == 0
    assert store.fits(0)


def test_what_others_stored_and_removed_is_counted_again_after_a_while(tmp_path: Path) -> None:
    now_s = 100.0
    folder = PayloadFolder(tmp_path, 1000, clock=lambda: now_s)
    assert folder.free_bytes() == 1000
    (tmp_path / "object").write_bytes(bytes(400))
    assert folder.free_bytes() == 1000
    now_s += payload_folder.LOOK_EVERY_S
    assert folder.free_bytes() == 600
    (tmp_path / "object").unlink()
    now_s += payload_folder.LOOK_EVERY_S
    assert folder.free_bytes() == 1000


def test_a_folder_that_takes_long_to_walk_is_walked_less_often(tmp_path: Path) -> None:
    ticks = iter([0.0, 2.0, 39.9, 40.0, 40.0])  # a walk of 2 s, then looks at the clock
    folder = PayloadFolder(tmp_path, 1000, clock=lambda: next(ticks))
    assert folder.free_bytes() == 1000
    (tmp_path / "object").write_bytes(bytes(400))
    assert folder.free_bytes() == 1000
    assert folder.free_bytes() == 600


def test_without_a_budget_the_disk_is_the_limit(store: PayloadStore, folder: Path) -> None:
    disk = os.statvfs(folder)
    free_bytes = store.free_bytes()
    assert free_bytes is not None
    assert free_bytes <= disk.f_blocks * disk.f_frsize
    assert not store.fits(disk.f_blocks * disk.f_frsize + 1)


def test_with_fsync_an_object_and_every_folder_above_it_reach_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    store = PayloadStore(folder.as_uri(), fsync=True)
    places = [folder / "job/in/00000000", folder / "job/in", folder / "job", folder]
    store.put(rows_path("job", 0), b"x")
    assert synced == [place.stat().st_ino for place in places]
    synced.clear()
    store.put(rows_path("job", 0), b"x")  # the names of the folders above are there already
    assert synced == [place.stat().st_ino for place in places[:2]]


def test_an_object_that_is_written_by_the_event_loop_is_synced_once_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    store = PayloadStore(folder.as_uri(), fsync=True)
    path = rows_path("job", 0)
    asyncio.run(store.put_async(path, b"x"))
    assert synced == []
    asyncio.run(store.sync_async(path))
    assert synced == [(folder / path).stat().st_ino]
    asyncio.run(store.sync_name_async(path))
    assert synced[1:] == [place.stat().st_ino for place in (folder / "job/in", folder / "job", folder)]
    with pytest.raises(PayloadError, match="cannot write"):
        asyncio.run(store.sync_async(rows_path("job", 1)))


def test_without_fsync_nothing_waits_for_the_disk(
    store: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(fd: int) -> None:
        raise AssertionError(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    store.put(rows_path("job", 0), b"x")


def test_settings_give_the_store_its_url_budget_and_durability(folder: Path) -> None:
    store = open_payloads(Settings(payload_url=folder.as_uri(), max_stored_bytes=10, fsync_payloads=True))
    store.put(rows_path("job", 0), b"1234")
    assert store.free_bytes() == 6


@pytest.mark.parametrize(
    "url",
    [
        "s3://KEY:hunter2@bucket/x",
        "s3://bucket/x?endpoint=http://KEY:hunter2@host",
        "s3://b?secret_access_key=hunter2",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(PayloadError) as caught:
        PayloadStore(url)
    assert "hunter2" not in caught.value.detail
    assert "KEY" not in caught.value.detail


def test_an_unknown_parameter_of_a_url_is_named() -> None:
    with pytest.raises(PayloadError, match="regoin is not a parameter"):
        PayloadStore("s3://bucket/prefix?regoin=eu-west-1")


def test_a_url_of_no_known_kind_is_refused_in_words() -> None:
    with pytest.raises(PayloadError, match="ftp://host/folder: cannot be used"):
        PayloadStore("ftp://host/folder")


def test_an_object_store_does_not_say_how_much_it_takes() -> None:
    store = PayloadStore("s3://bucket/prefix?endpoint=http://127.0.0.1:9&region=us-east-1", max_bytes=10)
    assert store.free_bytes() is None
    assert store.fits(10**15)


def test_removing_an_object_leaves_the_others_of_its_job(store: PayloadStore) -> None:
    store.put(result_path("job", 0, "late"), b"x")
    store.put(result_path("job", 0, "counts"), b"y")
    store.remove(result_path("job", 0, "late"))
    store.remove(result_path("job", 0, "late"))
    with pytest.raises(PayloadError):
        store.get(result_path("job", 0, "late"))
    assert store.get(result_path("job", 0, "counts")) == b"y"


@pytest.mark.parametrize(
    ("url", "chosen", "expected"),
    [
        ("file:///payloads", "auto", None),
        ("s3://bucket/x", "auto", "lz4"),
        ("file:///payloads", "lz4", "lz4"),
        ("s3://bucket/x", "none", None),
    ],
)
def test_payloads_are_compressed_where_that_pays_or_as_the_settings_say(
    url: str, chosen: str, expected: str | None, tmp_path: Path
) -> None:
    place = url.replace("file:///payloads", tmp_path.as_uri())
    settings = Settings.model_validate({"payload_url": place, "payload_compression": chosen})
    assert open_payloads(settings).compression == expected
