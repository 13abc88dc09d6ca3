"""The payload store: rows and results of jobs, an object each, in a folder or an object store by URL.

    {job}/in/{chunk}          the rows of a chunk, written by the gateway
    {job}/out/{chunk}-{token} its result; the token keeps a late worker from overwriting a newer result

A folder is shared by all programs, on one or more machines. Forms of the URL: `shared/object_stores.py`.

obstore implements every kind of store, for threads and for asyncio. No reader ever sees a partial object. An
object store acknowledges an object when it is durable. Objects of a folder are written to a temporary name
and renamed. With `fsync`, the default, an object and the names of its folders are on disk before the ledger
refers to them: when `put` returns, or when the syncs after `put_async` return. Without it, objects survive a
killed process, but a power cut may empty objects that the kernel has not written yet, of the last half minute
or longer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import obstore

from shared.errors import PayloadError, PayloadStoreAwayError
from shared.object_stores import LIST_PAGE, open_object_store, reason_of, without_secrets
from shared.payload_folder import PayloadFolder
from shared.setting_values import folder_of, is_folder
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.arrow_tables import Compression

_OUT_OF_ROOM = ("No space left on device", "Disk quota exceeded")
"""System messages for a full disk and for an exhausted quota."""
_JOB_ID = re.compile(r"[0-9a-f]{32}")


def rows_path(job_id: str, chunk: int) -> str:
    return f"{job_id}/in/{chunk:08d}"


def result_path(job_id: str, chunk: int, token: str) -> str:
    return f"{job_id}/out/{chunk:08d}-{token}"


def open_payloads(settings: Settings) -> PayloadStore:
    """The store of this deployment. Raises PayloadError if it cannot be used."""
    return PayloadStore(
        settings.payload_url,
        max_bytes=settings.max_stored_bytes,
        fsync=settings.writes_through(),
        compression=_compression(settings),
    )


def _compression(settings: Settings) -> Compression:
    """`auto`: none for a folder, which is faster than LZ4; LZ4 over a network."""
    chosen = settings.payload_compression
    if chosen == "auto":
        return None if is_folder(settings.payload_url) else "lz4"
    return None if chosen == "none" else chosen


class StoredJob(NamedTuple):
    """A job with objects in the store."""

    id: str
    newest_at_s: float  # of its newest object, s since 1970


class JobSize(NamedTuple):
    """A job with objects in the store, and the sum of their sizes."""

    id: str
    newest_at_s: float  # of its newest object, s since 1970
    size_bytes: int


def is_job_id(name: str) -> bool:
    """Whether a folder in the store is that of a job; others are not touched."""
    return _JOB_ID.fullmatch(name) is not None


class PayloadStore:
    """Objects by path. Methods raise PayloadStoreAwayError if the store fails, and a plain PayloadError for a
    missing object."""

    def __init__(
        self,
        url: str,
        *,
        max_bytes: int | None = None,
        fsync: bool = False,
        compression: Compression = None,
    ) -> None:
        self.compression = compression
        """The compression that writers of rows or results should use."""
        self._url = url
        self._folder = _folder(url, max_bytes)
        self._store = open_object_store(url, PayloadError)
        self._fsync = fsync

    def put(self, path: str, data: bytes) -> None:
        try:
            obstore.put(self._store, path, data)
            self._settle(path, len(data))
        except Exception as error:  # obstore's errors share no base class but Exception
            raise self._failed("write", path, error) from error

    def get(self, path: str) -> bytes:
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except Exception as error:
            raise self._failed("read", path, error) from error

    async def put_async(self, path: str, data: bytes) -> None:
        """Write an object. It is on disk after `sync_async` and then `sync_name_async` have returned."""
        try:
            await obstore.put_async(self._store, path, data)
        except Exception as error:
            raise self._failed("write", path, error) from error
        if self._folder:
            self._folder.count(len(data))

    async def copy_async(self, source: str, path: str) -> None:
        """Copy an object within the store, without its bytes passing here; in a folder it is a hard link. The
        copy is on disk after `sync_name_async` has returned. Raises PayloadError if `source` is missing."""
        try:
            await obstore.copy_async(self._store, source, path)
        except Exception as error:
            raise self._failed("read", source, error) from error

    async def sync_async(self, path: str) -> None:
        """Sync an object's bytes to disk, if `fsync` is on."""
        if self._folder and self._fsync:
            await self._synced(self._folder.sync, path)

    async def sync_name_async(self, path: str) -> None:
        """Sync the names of an object and of its neighbours to disk, if `fsync` is on."""
        if self._folder and self._fsync:
            await self._synced(self._folder.sync_name, path)

    async def _synced(self, sync: Callable[[str], None], path: str) -> None:
        try:
            await asyncio.to_thread(sync, path)
        except OSError as error:
            raise self._failed("write", path, error) from error

    async def get_async(self, path: str) -> bytes:
        try:
            return bytes(await (await obstore.get_async(self._store, path)).bytes_async())
        except Exception as error:
            raise self._failed("read", path, error) from error

    def remove(self, path: str) -> None:
        """Remove an object; a missing object is no error."""
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:
            pass
        except Exception as error:
            raise self._failed("remove", path, error) from error

    def remove_job(self, job_id: str) -> None:
        """Remove all objects of a job, and the remains of a killed writer."""
        try:
            if self._folder:
                self._folder.remove(job_id)
            else:
                for page in self._pages(job_id):
                    obstore.delete(self._store, page)
        except Exception as error:
            raise self._failed("remove", job_id, error) from error

    def stored_jobs(self) -> Iterator[StoredJob]:
        """The jobs that have objects. An object store may return a job several times.

        The generator reads from the store during iteration: run it in a thread.
        """
        try:
            yield from self._folder_jobs() if self._folder else self._listed_jobs()
        except Exception as error:
            raise self._failed("list", "its objects", error) from error

    def _folder_jobs(self) -> Iterator[StoredJob]:
        assert self._folder is not None
        for job_id, at_s in self._folder.jobs():
            yield StoredJob(job_id, at_s)

    def _listed_jobs(self) -> Iterator[StoredJob]:
        for page in obstore.list(self._store, chunk_size=LIST_PAGE):
            newest: dict[str, float] = {}
            for item in page:
                job_id, at_s = item["path"].partition("/")[0], item["last_modified"].timestamp()
                newest[job_id] = max(at_s, newest.get(job_id, 0.0))
            yield from (StoredJob(job_id, at_s) for job_id, at_s in newest.items())

    def job_sizes(self) -> Iterator[JobSize]:
        """The jobs that have objects, each once. Reads the size of every object: run it in a thread."""
        try:
            if self._folder:
                yield from (JobSize(*found) for found in self._folder.sizes())
            else:
                yield from self._listed_sizes()
        except Exception as error:
            raise self._failed("list", "its objects", error) from error

    def _listed_sizes(self) -> Iterator[JobSize]:
        found: dict[str, JobSize] = {}
        for page in obstore.list(self._store, chunk_size=LIST_PAGE):
            for item in page:
                job_id, at_s = item["path"].partition("/")[0], item["last_modified"].timestamp()
                before = found.get(job_id, JobSize(job_id, 0.0, 0))
                found[job_id] = JobSize(
                    job_id, max(at_s, before.newest_at_s), before.size_bytes + item["size"]
                )
        yield from found.values()

    def free_bytes(self) -> int | None:
        """Remaining space, within the limit and on the disk; None: unknown.

        The value is at most a few seconds old. Walks the folder: run it in a thread.
        """
        try:
            return self._folder.free_bytes() if self._folder else None
        except OSError as error:
            raise self._failed("measure", "its folder", error) from error

    def limit_bytes(self) -> int | None:
        """Total space; None: unknown."""
        try:
            return self._folder.limit_bytes() if self._folder else None
        except OSError as error:
            raise self._failed("measure", "its folder", error) from error

    def fits(self, size_bytes: int) -> bool:
        """Whether an object of this size fits now; see `free_bytes`."""
        free_bytes = self.free_bytes()
        return free_bytes is None or size_bytes <= free_bytes

    def _settle(self, path: str, size_bytes: int) -> None:
        if self._folder:
            self._folder.count(size_bytes)
            if self._fsync:
                self._folder.sync(path)
                self._folder.sync_name(path)

    def _pages(self, job_id: str) -> Iterator[Sequence[str]]:
        for page in obstore.list(self._store, prefix=job_id, chunk_size=LIST_PAGE):
            yield [item["path"] for item in page]

    def _failed(self, verb: str, path: str, error: Exception) -> PayloadError:
        kind = PayloadError if isinstance(error, FileNotFoundError) else PayloadStoreAwayError
        failed = kind(f"{without_secrets(self._url)}: cannot {verb} {path}: {reason_of(error)}")
        if isinstance(failed, PayloadStoreAwayError):
            failed.full = any(words in str(error) for words in _OUT_OF_ROOM)
        return failed


def _folder(url: str, max_bytes: int | None) -> PayloadFolder | None:
    return PayloadFolder(folder_of(url), max_bytes) if is_folder(url) else None
