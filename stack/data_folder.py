"""The data folder of a local stack (`.takt`): its layout and its lock.

data/      the queue's append-only file          payloads/  rows and results of jobs
logs/      <service>.log                         run/       lock, stack.json, the workers' ids
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stack.command_errors import CommandError

_LEFTOVERS_S = 8.0  # by then, the processes of a killed run have ended: see process_group.py


class StackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a running `takt up` in run/stack.json. Only its user may read it: it holds a password."""

    pid: int
    started_at: str  # UTC, RFC 3339
    http_url: str
    redis_url: str


@dataclass(frozen=True)
class Folder:
    """The layout of a stack's data folder."""

    root: Path  # absolute

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def payloads(self) -> Path:
        return self.root / "payloads"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def record(self) -> Path:
        return self.run / "stack.json"

    def make(self) -> None:
        """Create the missing folders. Raises CommandError if a folder cannot be created or written to."""
        for path in (self.root, self.data, self.logs, self.payloads, self.run):
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise CommandError(
                    f"{path}: cannot be created: {error.strerror}. Choose another folder with --data."
                ) from error
            if not os.access(path, os.W_OK | os.X_OK):
                raise CommandError(
                    f"{path}: is not writable by this user. Choose another folder with --data."
                )

    def read_record(self) -> StackRecord | None:
        """Returns the record of the run that holds this folder, or of the last run that was killed."""
        try:
            return msgspec.json.decode(self.record.read_bytes(), type=StackRecord)
        except (OSError, msgspec.MsgspecError):
            return None

    def write_record(self, record: StackRecord) -> None:
        fresh = self.record.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(record))
        fresh.replace(self.record)

    def running(self) -> StackRecord | None:
        """Returns the record of the stack that runs in this folder, or None."""
        record = self.read_record()
        return record if record is not None and self._held() else None

    def _held(self) -> bool:
        try:
            with (self.run / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


@contextmanager
def held(folder: Folder) -> Iterator[int]:
    """Lock the folder within the context; yields the lock's descriptor, which the server must inherit.

    The kernel releases the lock when the last process that holds it exits. A crash leaves no stale lock, and
    a server that outlives its `takt up` keeps its append-only file locked.

    Raises CommandError if another run holds the lock.
    """
    with (folder.run / "lock").open("ab") as file:
        _lock(file.fileno(), folder)
        try:
            yield file.fileno()
        finally:
            folder.record.unlink(missing_ok=True)


def _lock(descriptor: int, folder: Folder) -> None:
    limit = time.monotonic() + _LEFTOVERS_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _refuse_if_held_for_long(folder, waited_enough=time.monotonic() > limit)
            time.sleep(0.1)
        except OSError as error:
            raise CommandError(
                f"{folder.run}: cannot be locked: {error.strerror}. Choose another folder with --data."
            ) from error
        else:
            return


def _refuse_if_held_for_long(folder: Folder, *, waited_enough: bool) -> None:
    record = folder.read_record()
    if record is not None and _alive(record.pid):
        raise CommandError(
            f"takt up already runs on {folder.root} (PID {record.pid}, {record.http_url}, since "
            f"{record.started_at}). Stop it, or use another folder and port: takt up --data DIR --port N"
        )
    if waited_enough:
        raise CommandError(
            f"{folder.root} is still locked by a process of a killed run. Find the process with "
            f"`fuser {folder.run}/lock` and end it, or choose another folder with --data."
        )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
