"""A `takt up` with a model repository of its own, and what its processes take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.servers import DidNotStart
from shared.settings import environment

STARTS_S = 600.0
_LOOK_EVERY_S = 0.02


@dataclass(frozen=True)
class Running:
    """A running `takt up`."""

    process: subprocess.Popen[bytes]
    http: httpx.Client
    started_s: float  # until all workers served

    def workers(self) -> list[dict[str, Any]]:
        workers: list[dict[str, Any]] = self.http.get("/workers").raise_for_status().json()["workers"]
        return workers

    @property
    def supervisor(self) -> psutil.Process:
        return psutil.Process(self.workers()[0]["supervisor"]["pid"])

    def read_models_again(self) -> None:
        os.kill(self.supervisor.pid, signal.SIGHUP)

    def pss_bytes(self) -> int:
        """The memory of the supervisor and all its processes; pages that they share count once."""
        whole = [self.supervisor, *self.supervisor.children(recursive=True)]
        return sum(process.memory_full_info().pss for process in whole)

    def wait_for(self, model: str, state: str = "loaded") -> None:
        """Until every worker states this of the model."""
        end_s = time.monotonic() + STARTS_S
        while time.monotonic() < end_s:
            states = [
                held["state"] for one in self.workers() for held in one["models"] if held["model"] == model
            ]
            if states and set(states) == {state}:
                return
            time.sleep(_LOOK_EVERY_S)
        raise DidNotStart(f"{model} is not {state} after {STARTS_S:g} s")


@contextmanager
def running(folder: Path, models: Path, *, workers: int) -> Iterator[Running]:
    """Start `takt up` on a free port, and stop it after the block. Raises DidNotStart."""
    command = [sys.executable, "-m", "takt", "up", "--port", "0", "--workers", str(workers)]
    command += ["--data", str(folder), "--models-dir", str(models)]
    first = sorted(path.parent.name for path in models.glob("*/model.toml"))[0]
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        begun_s = time.monotonic()
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment({"default_model": first})
        )
    try:
        url = _served_at(process, log)
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            yield Running(process, http, time.monotonic() - begun_s)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _served_at(process: subprocess.Popen[bytes], log: Path) -> str:
    """The URL that `takt up` prints once everything serves."""
    end_s = time.monotonic() + STARTS_S
    while time.monotonic() < end_s and process.poll() is None:
        for line in log.read_text(errors="replace").splitlines():
            word, _, rest = line.partition(" ")
            if word == "docs":
                return rest.strip().removesuffix("/docs")
        time.sleep(_LOOK_EVERY_S)
    raise DidNotStart(f"takt up does not serve:\n{log.read_text(errors='replace')[-2000:]}")
