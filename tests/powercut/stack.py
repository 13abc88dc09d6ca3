"""`takt up` for power cuts: start, suspension and end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import redis

from shared.settings import environment
from stack.data_folder import Folder
from tests.support.servers import free_port

PROGRAM = str(Path(sys.executable).with_name("takt"))
SERVING = "press Ctrl-C to stop"
STARTS_S = 150.0
TORN = "append-only file incomplete after a power cut"


class DidNotStart(Exception):
    """The stack ended or was not ready in time; contains its output."""


class CutStack:
    """A process of `takt up` on a folder."""

    def __init__(self, folder: Path, log: Path, durability: str) -> None:
        self.folder = Folder(folder)
        self.port = free_port()
        self._log = log
        settings = {"durability": durability, "chunk_rows": "1000"}
        options = ["--port", str(self.port), "--workers", "1", "--models", "iris"]
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [PROGRAM, "up", "--data", str(folder), *options],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(settings),
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def torn(self) -> bool:
        """Whether it has repaired its append-only file."""
        return TORN in self._log.read_text()

    def lost_results(self) -> int:
        """Number of lost results that the gateway found."""
        return (self.folder.logs / "gateway.log").read_text(errors="replace").count("result_lost")

    def serving(self) -> None:
        """Raises DidNotStart."""
        end_s = time.monotonic() + STARTS_S
        while SERVING not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise DidNotStart(self._log.read_text()[-2000:])
            time.sleep(0.1)

    def redis(self) -> redis.Redis:
        record = self.folder.read_record()
        assert record is not None
        return redis.Redis.from_url(record.redis_url)

    def freeze(self) -> list[psutil.Process]:
        """Suspend every process, the supervisor first, and return the processes."""
        whole = psutil.Process(self._process.pid)
        whole.suspend()
        processes = [whole, *whole.children(recursive=True)]
        for process in processes[1:]:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        return processes

    def kill(self, processes: list[psutil.Process]) -> None:
        """Kill the processes, so that they write nothing further, as in a power cut."""
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes[1:], timeout=20)
        self._process.wait(timeout=20)

    def end(self) -> None:
        """Shut down the stack if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=60)
