"""A disk that loses power: an image with ext4, mounted by a loop device, or else a plain folder.

What the kernel has not written to the image when it is copied is lost, as by a power cut. Without root, a
folder stands in: the end of the append-only file is cut by as much as the server may not have synced, zeros
follow, and files that a writer had not finished are removed.
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
    """Where a stack keeps its data. `cut` moves it to what a power cut leaves of it."""

    kind: str

    @property
    def folder(self) -> Path: ...

    def watch(self) -> None:
        """Is called often while the stack runs."""

    def cut(self) -> None:
        """Every process that writes there stands still."""

    def restart(self) -> None:
        """Every process has ended: what is left is there now."""

    def close(self) -> None: ...


class LoopDisk:
    """An image file; the copy of it is mounted in turn."""

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
        """The image needs none."""

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
    """A folder of which the newest is lost."""

    kind = "a folder: the append-only file is cut, unfinished files are removed"

    def __init__(self, root: Path, *, unsynced_s: float, chance: random.Random) -> None:
        self.folder = root / "folder"
        self.folder.mkdir(parents=True)
        self._unsynced_s = unsynced_s
        self._chance = chance
        self._sizes: list[tuple[float, Path, int]] = []

    def watch(self) -> None:
        """Remember how large the append-only file is."""
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
    """Whether this user may mount an image here."""
    return os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
