"""The payload store where it is a folder: what it holds, what it may hold, and what reaches the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

LOOK_EVERY_S = 5.0
"""How old the count of stored bytes may be, at least."""
WALK_SHARE = 0.05
"""The most of its time that a process walks the folder: of many objects it takes stock less often."""


_MOST_NAMED = 10_000


class _Walk(NamedTuple):
    next_at_s: float
    found_bytes: int
    written_bytes: int  # by this process before it


class PayloadFolder:
    """What an object store does by itself. Raises OSError where the disk does."""

    def __init__(
        self, root: Path, max_bytes: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._written_bytes = 0  # by this process, ever
        self._walked: _Walk | None = None
        self._named: set[Path] = set()  # folders with a name that is on the disk

    def free_bytes(self) -> int:
        """The least of what the disk and what the budget have left."""
        disk_bytes = shutil.disk_usage(self._root).free
        if self._max_bytes is None:
            return disk_bytes
        return max(0, min(disk_bytes, self._max_bytes - self._used()))

    def limit_bytes(self) -> int:
        """The budget, or the size of the disk where there is none."""
        return shutil.disk_usage(self._root).total if self._max_bytes is None else self._max_bytes

    def count(self, size_bytes: int) -> None:
        """So much was stored by this process."""
        with self._lock:
            self._written_bytes += size_bytes

    def sync(self, path: str) -> None:
        """Have an object's bytes on the disk."""
        _sync(self._root / path)

    def sync_name(self, path: str) -> None:
        """Have an object's name, and the names of the folders that lead to it, on the disk.

        A folder is synced for each object in it; those above only for the first, as their names stay.
        """
        place = self._root / path
        _sync(place.parent)
        if place.parent not in self._named:
            for folder in _between(place.parent, self._root):
                _sync(folder)
            self._remember(place.parent)

    def _remember(self, folder: Path) -> None:
        with self._lock:
            if len(self._named) >= _MOST_NAMED:
                self._named.clear()
            self._named.add(folder)

    def jobs(self) -> Iterator[tuple[str, float]]:
        """Each folder of a job, and when an object was last written or removed there: s since 1970."""
        with os.scandir(self._root) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        yield entry.name, _touched_at_s(Path(entry.path))

    def remove(self, job_id: str) -> None:
        """Remove a job's folder, what a killed writer left in it too."""
        folder = self._root / job_id
        for _ in range(3):  # a late worker may put its result there meanwhile
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                return
        shutil.rmtree(folder)

    def _used(self) -> int:
        """Bytes of every process's objects: counted now and then, and this one's added in between."""
        now_s, walked = self._clock(), self._walked
        if walked is None or now_s >= walked.next_at_s:
            # not under the lock: the event loop counts what it wrote while a thread walks
            written_before = self._written_bytes
            found_bytes = stored_bytes(self._root)
            pause_s = max(LOOK_EVERY_S, (self._clock() - now_s) / WALK_SHARE)
            walked = self._walked = _Walk(now_s + pause_s, found_bytes, written_before)
        return walked.found_bytes + self._written_bytes - walked.written_bytes


def stored_bytes(folder: str | Path) -> int:
    """The size of all files below a folder; what vanishes meanwhile is not counted."""
    total, folders = 0, [folder]
    while folders:
        with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += _size_of(entry)
    return total


def _touched_at_s(folder: Path) -> float:
    parts = [folder, *(part for part in folder.iterdir() if part.is_dir())]
    return max(part.stat().st_mtime for part in parts)


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _between(folder: Path, root: Path) -> Iterator[Path]:
    """The folders above one, up to the root."""
    while folder not in {root, folder.parent}:
        folder = folder.parent
        yield folder


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
