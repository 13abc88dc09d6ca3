"""The folder behind a payload store: its size, its limit, and syncing to disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

LOOK_EVERY_S = 2.0
"""Lower limit for the age at which the count of stored bytes is renewed."""
WALK_SHARE = 0.05
"""Limit of the time that a process spends walking the folder: with many objects it counts less often."""


_MOST_NAMED = 10_000


class _Walk(NamedTuple):
    next_at_s: float
    found_bytes: int
    written_bytes: int  # by this process before the walk


class PayloadFolder:
    """Size, limit and syncing, which an object store provides itself. Raises OSError if the disk fails."""

    def __init__(
        self, root: Path, max_bytes: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._written_bytes = 0  # by this process in total
        self._walked: _Walk | None = None
        self._named: set[Path] = set()  # folders with a name that is on disk

    def free_bytes(self) -> int:
        """The smaller of the free space on the disk and the rest of the limit."""
        disk_bytes = shutil.disk_usage(self._root).free
        if self._max_bytes is None:
            return disk_bytes
        return max(0, min(disk_bytes, self._max_bytes - self._used()))

    def limit_bytes(self) -> int:
        """The limit, or the size of the disk without a limit."""
        return shutil.disk_usage(self._root).total if self._max_bytes is None else self._max_bytes

    def count(self, size_bytes: int) -> None:
        """Add bytes stored by this process."""
        with self._lock:
            self._written_bytes += size_bytes

    def sync(self, path: str) -> None:
        """Sync an object's bytes to disk."""
        _sync(self._root / path)

    def sync_name(self, path: str) -> None:
        """Sync an object's name, and the names of its parent folders, to disk.

        A folder is synced for each object in it, its parents only for the first object.
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
        """Each job's folder, and the last time an object was written or removed there: s since 1970."""
        with os.scandir(self._root) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        yield entry.name, _touched_at_s(Path(entry.path))

    def sizes(self) -> Iterator[tuple[str, float, int]]:
        """`jobs`, each with the bytes of its objects."""
        for job_id, at_s in self.jobs():
            yield job_id, at_s, stored_bytes(self._root / job_id)

    def remove(self, job_id: str) -> None:
        """Remove a job's folder, including the remains of a killed writer."""
        folder = self._root / job_id
        for _ in range(3):  # a late worker may store a result there in the meantime
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                return
        shutil.rmtree(folder)

    def _used(self) -> int:
        """Bytes of all processes: counted at intervals, plus this process's bytes since then."""
        now_s, walked = self._clock(), self._walked
        if walked is None or now_s >= walked.next_at_s:
            # without the lock: the event loop counts its writes while a thread walks
            written_before = self._written_bytes
            found_bytes = stored_bytes(self._root)
            pause_s = max(LOOK_EVERY_S, (self._clock() - now_s) / WALK_SHARE)
            walked = self._walked = _Walk(now_s + pause_s, found_bytes, written_before)
        return walked.found_bytes + self._written_bytes - walked.written_bytes


def stored_bytes(folder: str | Path) -> int:
    """The size of all files below a folder; files that vanish in the meantime are not counted."""
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
    """The parents of a folder, up to the root."""
    while folder not in {root, folder.parent}:
        folder = folder.parent
        yield folder


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
