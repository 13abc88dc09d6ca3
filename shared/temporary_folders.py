"""Temporary folders that are removed even if their process was killed: by the next process of its kind.

A folder contains a lock file, which its process holds locked until it ends, however it ends. So a process
that starts finds the folders that are left over, also those of processes in other containers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = ".lock"
_UNLOCKED_S = 86_400.0
"""Age after which a folder without a lock file is left over; an older version made it."""


class TemporaryFolder:
    """A new folder, until `remove`. Raises OSError if it cannot be made."""

    def __init__(self, prefix: str, place: Path | None = None) -> None:
        """`place`: the folder around it; None: the system's folder for temporary files."""
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        self._lock = os.open(self.path / f"{_LOCK}.new", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.path / f"{_LOCK}.new").rename(self.path / _LOCK)  # seen by others only once it is locked

    def remove(self) -> None:
        """Remove it and all its files, as far as possible."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


@contextmanager
def temporary_folder(prefix: str, place: Path | None = None) -> Iterator[Path]:
    """A new folder, which is removed after the block."""
    folder = TemporaryFolder(prefix, place)
    try:
        yield folder.path
    finally:
        folder.remove()


def remove_leftovers(prefix: str, place: Path | None = None) -> list[Path]:
    """Remove the folders of this prefix whose processes have ended. → the removed folders"""
    around = place or Path(tempfile.gettempdir())
    found = [path for path in around.glob(f"{prefix}*") if path.is_dir() and _is_left_over(path)]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return found


def _is_left_over(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            return time.time() - folder.stat().st_mtime > _UNLOCKED_S
        return False
    except OSError:  # of another user
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock)
