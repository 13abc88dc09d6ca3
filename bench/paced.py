"""Takt with a model of known speed (specimens/paced): `takt up` and, optionally, further gateways."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import uvloop

from bench.arrivals import Call, Load, Offer
from bench.processes import Usage, usage_of
from bench.replicas import Replicas
from bench.rivals import takt
from bench.subjects import ROOT
from shared.settings import environment
from stack.process_group import ProcessGroup

MODEL = "paced"
BODY = b'{"x": 2.0}'
ANSWER = b'{"y":2.0}'
_BUILD_LIMIT_S = 120.0
_START_LIMIT_S = 90.0


@dataclass(frozen=True)
class PacedStack:
    """A running stack: a URL for each gateway, the queue, and the file that sets the model's speed."""

    gateways: tuple[str, ...]
    redis_url: str
    pace_file: Path
    folder: Path  # for the files of a load
    leash: ProcessGroup
    pid: int  # process id of `takt up`

    def usage(self) -> Usage:
        """Processes of the first gateway, the queue and the workers, by part."""
        return usage_of(self.pid, takt.PARTS)

    @property
    def predictions(self) -> list[str]:
        return [f"{url}/models/{MODEL}/predict" for url in self.gateways]


def paced_repository(folder: Path, *versions: str, pace_ms: float = 5.0, call_ms: float = 0.0) -> Path:
    """Create a model repository under `folder` with only the paced model, built, and return its root."""
    root = folder / "models"
    shutil.copytree(ROOT / "bench" / "specimens", root, ignore=shutil.ignore_patterns("__pycache__"))
    pace_file(root).write_text(f"{pace_ms:g} {call_ms:g}")
    for version in versions or ("1.0.0",):
        command = [sys.executable, "-m", "worker", "build", MODEL, "--version", version]
        settings = environment({"models_dir": str(root)})
        subprocess.run(
            command, cwd=ROOT, env=settings, check=True, capture_output=True, timeout=_BUILD_LIMIT_S
        )
    return root


def pace_file(repository: Path) -> Path:
    """File with the milliseconds of a row, then of a call. Each call of the model reads it again."""
    return repository / MODEL / "pace_ms.txt"


def offered(stack: PacedStack, offer: Offer) -> list[Call]:
    """Run a load on all gateways, and return its calls after the last has ended."""

    async def load() -> list[Call]:
        return await Load(stack.predictions, BODY, offer).run()

    return uvloop.run(load())


def submitted(client: httpx.Client, rows: int) -> str:
    """Submit a job with this number of rows, and return its path."""
    text, headers = "x\n" + "1.5\n" * rows, {"Content-Type": "text/csv"}
    answer = client.post("/jobs", params={"model": MODEL}, content=text, headers=headers)
    return str(answer.raise_for_status().headers["location"])


@contextmanager
def running_job(stack: PacedStack, rows: int) -> Iterator[None]:
    """Start a job that outlasts the block, and wait until it runs."""
    with httpx.Client(base_url=stack.gateways[0], timeout=_START_LIMIT_S) as client:
        job = submitted(client, rows)
        limit_s = time.monotonic() + _START_LIMIT_S
        while client.get(job).json()["state"] != "running" and time.monotonic() < limit_s:
            time.sleep(0.1)
        try:
            yield
        finally:
            client.post(f"{job}/cancel").raise_for_status()


@contextmanager
def serving_paced(
    pace_ms: float, gateways: int = 1, *, call_ms: float = 0.0, workers: int = 1
) -> Iterator[PacedStack]:
    """Start the stack, wait until every gateway is ready, and stop it after the block. Raises DidNotStart."""
    with ExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory(prefix="takt-bench-")))
        leash = held.enter_context(closing(ProcessGroup()))
        repository = paced_repository(folder, pace_ms=pace_ms, call_ms=call_ms)
        replicas = Replicas(folder, repository, leash, MODEL)
        served = ("--models", MODEL, "--workers", str(workers))
        first, pid = held.enter_context(replicas.takt_up(*served))
        more = [held.enter_context(replicas.gateway(number))[0] for number in range(2, gateways + 1)]
        yield PacedStack((first, *more), replicas.redis_url, pace_file(repository), folder, leash, pid)
