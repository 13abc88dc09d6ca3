"""A disk that loses power: an ext4 image on a loop device, or a plain folder.

Data that the kernel has not written to the image before the copy is lost, as in a power cut. Without root, a
folder is used instead: the possibly unsynced end of the append-only file is removed, zeros are appended, and
unfinished files are removed.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import Protocol

SIZE_BYTES = 768 * 2**20


class Disk(Protocol):
    """A stack's data folder. `cut` replaces it with the data that remains after a power cut."""

    kind: str

    @property
    def folder(self) -> Path: ...

    def watch(self) -> None:
        """Called often while the stack runs."""

    def cut(self) -> None:
        """Called when all writing processes are suspended."""

    def restart(self) -> None:
        """Called when all processes have ended; prepares the remaining data."""

    def close(self) -> None: ...


class LoopDisk:
    """An image file and its copy, mounted alternately."""

    kind = "ext4 on a loop device"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._turn = 0
        image = self._image(0)
        with image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        _run("mkfs.ext4", "-q", "-F", str(image))
        self._mount()

    @property
    def folder(self) -> Path:
        return self._root / f"mount-{self._turn}"

    def watch(self) -> None:
        """Nothing to do for an image."""

    def cut(self) -> None:
        _run("cp", "--sparse=always", str(self._image(self._turn)), str(self._image(self._turn + 1)))

    def restart(self) -> None:
        self._unmount()
        self._image(self._turn).unlink()
        self._turn += 1
        self._mount()

    def close(self) -> None:
        self._unmount()

    def _image(self, turn: int) -> Path:
        return self._root / f"disk-{turn}.img"

    def _mount(self) -> None:
        self.folder.mkdir()
        _run("mount", "-o", "loop", str(self._image(self._turn)), str(self.folder))

    def _unmount(self) -> None:
        _run("umount", "--lazy", str(self.folder))  # the last processes may end a moment later


class CutFolder:
    """A folder that loses its newest data."""

    kind = "a folder: the append-only file is cut, unfinished files are removed"

    def __init__(self, root: Path, *, unsynced_s: float, chance: random.Random) -> None:
        self.folder = root / "folder"
        self.folder.mkdir(parents=True)
        self._unsynced_s = unsynced_s
        self._chance = chance
        self._sizes: list[tuple[float, Path, int]] = []

    def watch(self) -> None:
        """Record the size of the append-only file."""
        for path in self.folder.rglob("*.incr.aof"):
            self._sizes.append((time.monotonic(), path, path.stat().st_size))

    def cut(self) -> None:
        """Nothing is lost before the processes have ended."""

    def restart(self) -> None:
        least_s = time.monotonic() - self._chance.uniform(0, self._unsynced_s)
        synced = {path: size_bytes for at_s, path, size_bytes in self._sizes if at_s <= least_s}
        for path in self.folder.rglob("*.incr.aof"):
            whole_bytes = path.stat().st_size
            least_bytes = synced.get(path, 0) if self._unsynced_s else whole_bytes
            _tear(path, self._chance.randint(least_bytes, whole_bytes), self._chance.choice([0, 7, 4096]))
        for path in self.folder.rglob("payloads/**/*#*"):
            path.unlink()
        self._sizes.clear()

    def close(self) -> None:
        """The caller removes it."""


def _tear(path: Path, size_bytes: int, zeros: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size_bytes)
        file.seek(size_bytes)
        file.write(bytes(zeros))


def can_mount() -> bool:
    """Whether this user can mount an image."""
    return os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
