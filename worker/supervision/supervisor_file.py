"""The file of a supervisor for the probes of its host: which workers run, and, by its time, whether it is
alive."""

from __future__ import annotations

import os
from contextlib import suppress
from types import TracebackType
from typing import Self

import msgspec

from shared.liveness_files import SupervisorFile, id_file, supervisor_file
from shared.settings import Settings


class SupervisorFileWriter:
    """Exists while the block runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = supervisor_file(settings.run_dir, settings.worker_name)
        self._content: SupervisorFile | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.write(SupervisorFile(pid=os.getpid(), workers=[]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)

    def write(self, content: SupervisorFile) -> None:
        """Update the file's time, and its content if that has changed. A worker that was killed has left a
        file of its own, which is removed."""
        with suppress(OSError):  # a full disk is no reason to end
            if content == self._content:
                self._path.touch()
                return
            before = self._content.workers if self._content else []
            for worker in set(before) - set(content.workers):
                id_file(self._settings, worker).unlink(missing_ok=True)
            self._content = content
            beside = self._path.with_suffix(".new")
            beside.write_bytes(msgspec.json.encode(content))
            beside.replace(self._path)
