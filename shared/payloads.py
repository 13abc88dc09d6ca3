"""Where a job's bytes lie: rows and results, one object each, in a folder or an object store by URL.

    {job}/in/{chunk}          the rows of a chunk, written by the gateway
    {job}/out/{chunk}-{token} its result; the token keeps a late worker from overwriting a newer result

obstore does the work for every kind of store, for threads and for asyncio; a folder's objects are written
beside and renamed, so that no reader sees half of one.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

from shared.errors import PayloadError


def rows_path(job_id: str, chunk: int) -> str:
    return f"{job_id}/in/{chunk:08d}"


def result_path(job_id: str, chunk: int, token: str) -> str:
    return f"{job_id}/out/{chunk:08d}-{token}"


class PayloadStore:
    """Objects by path. Every method raises PayloadError where the store does not do what it is asked."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store = _open(url)

    def put(self, path: str, data: bytes) -> None:
        try:
            obstore.put(self._store, path, data)
        except Exception as error:  # obstore's errors share no base class but Exception
            raise self._failed("write", path, error) from error

    def get(self, path: str) -> bytes:
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except Exception as error:
            raise self._failed("read", path, error) from error

    async def put_async(self, path: str, data: bytes) -> None:
        try:
            await obstore.put_async(self._store, path, data)
        except Exception as error:
            raise self._failed("write", path, error) from error

    async def get_async(self, path: str) -> bytes:
        try:
            return bytes(await (await obstore.get_async(self._store, path)).bytes_async())
        except Exception as error:
            raise self._failed("read", path, error) from error

    def remove_job(self, job_id: str) -> None:
        """Remove everything that a job stored."""
        try:
            for page in obstore.list(self._store, prefix=job_id):
                obstore.delete(self._store, [item["path"] for item in page])
        except Exception as error:
            raise self._failed("remove", job_id, error) from error

    def _failed(self, verb: str, path: str, error: Exception) -> PayloadError:
        return PayloadError(f"{self._url}: cannot {verb} {path}: {error}")


def _open(url: str) -> ObjectStore:
    if urlsplit(url).scheme != "file":
        return from_url(url)
    folder = Path(unquote(urlsplit(url).path))
    try:
        return LocalStore(folder, automatic_cleanup=True, mkdir=True)
    except Exception as error:
        raise PayloadError(f"{url}: the folder cannot be used: {error}") from error
