"""Syncs a job's rows to the disk in the background of the upload, and completely before the job is sealed."""

from __future__ import annotations

import asyncio

from shared.payloads import PayloadStore


class Syncing:
    """Writes objects and syncs them in the background; syncs their directory at the end."""

    def __init__(self, payloads: PayloadStore) -> None:
        self._payloads = payloads
        self._tasks: list[asyncio.Task[None]] = []
        self._last = ""

    async def put(self, path: str, data: bytes) -> None:
        """Write an object. Raises PayloadError if this object or an earlier object cannot be written."""
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.remove(task)
            task.result()
        await self._payloads.put_async(path, data)
        task = asyncio.create_task(self._payloads.sync_async(path))
        task.add_done_callback(_seen)
        self._tasks.append(task)
        self._last = path

    async def ended(self) -> None:
        """Wait until all objects and their names are on the disk. Raises PayloadError."""
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        if self._last:
            await self._payloads.sync_name_async(self._last)


def _seen(task: asyncio.Task[None]) -> None:
    """Retrieve the error of a task: an interrupted upload removes files that are being synced."""
    if not task.cancelled():
        task.exception()
