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
from bench.rivals import takt
from bench.servers import DidNotStart, plain_environment
from bench.subjects import ROOT
from shared.settings import environment
from stack.process_group import ProcessGroup
from stack.redis_url import queue_url
from stack.service_logs import Log
from stack.valkey import free_port

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
        first, pid = held.enter_context(_takt_up(folder, repository, leash, workers))
        redis_url = queue_url(folder / "data")
        more = [
            held.enter_context(_gateway(folder, repository, leash, redis_url, number))[0]
            for number in range(2, gateways + 1)
        ]
        yield PacedStack((first, *more), redis_url, pace_file(repository), folder, leash, pid)


@contextmanager
def _takt_up(folder: Path, repository: Path, leash: ProcessGroup, workers: int) -> Iterator[tuple[str, int]]:
    program, port = str(Path(sys.executable).with_name("takt")), free_port()
    served = ["--models", MODEL, "--models-dir", str(repository), "--workers", str(workers)]
    command = [program, "up", *served, "--port", str(port), "--data", str(folder / "data")]
    with _started(command, folder / "up.log", leash, {"gateways": "1"}, port) as started:
        yield started


@contextmanager
def _gateway(
    folder: Path, repository: Path, leash: ProcessGroup, redis_url: str, number: int
) -> Iterator[tuple[str, int]]:
    port = free_port()
    settings = {
        "redis_url": redis_url,
        "models_dir": str(repository),
        "default_model": MODEL,
        "payload_url": (folder / "data" / "payloads").as_uri(),
        "gateway_name": f"gateway-{number}",
        "port": str(port),
    }
    command = [sys.executable, "-m", "api"]
    with _started(command, folder / f"gateway-{number}.log", leash, settings, port) as started:
        yield started


@contextmanager
def _started(
    command: list[str], log: Path, leash: ProcessGroup, settings: dict[str, str], port: int
) -> Iterator[tuple[str, int]]:
    """Start a program and wait for its gateway. Yields the gateway's URL and the program's process id."""
    given = {f"TAKT_{name.upper()}": value for name, value in settings.items()}
    with Log(log).open() as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=plain_environment(environment({})) | given,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=leash.group,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_ready(process, url, Log(log))
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Log) -> None:
    limit_s = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < limit_s and process.poll() is None:
        try:
            if httpx.get(f"{url}/health/ready", timeout=1.0).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    words = "\n    ".join(log.last_lines(12))
    raise DidNotStart(f"{url} does not answer. Last output:\n    {words}")
