"""The rows of one job are synced to the disk beside the upload, and all of them before the job is sealed."""

from __future__ import annotations

import asyncio

from shared.payloads import PayloadStore


class Syncing:
    """Each object is written first and synced in the background; the names of all are synced at the end."""

    def __init__(self, payloads: PayloadStore) -> None:
        self._payloads = payloads
        self._tasks: list[asyncio.Task[None]] = []
        self._last = ""

    async def put(self, path: str, data: bytes) -> None:
        """Raises PayloadError where this object, or one before, cannot be written."""
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.remove(task)
            task.result()
        await self._payloads.put_async(path, data)
        task = asyncio.create_task(self._payloads.sync_async(path))
        task.add_done_callback(_seen)
        self._tasks.append(task)
        self._last = path

    async def ended(self) -> None:
        """Return once all objects and their names are on the disk. Raises PayloadError."""
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        if self._last:
            await self._payloads.sync_name_async(self._last)


def _seen(task: asyncio.Task[None]) -> None:
    """An upload that broke off removes what is being synced; its tasks have nobody to raise for."""
    if not task.cancelled():
        task.exception()
