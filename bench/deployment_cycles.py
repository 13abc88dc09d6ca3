"""`python -m bench.deployment_cycles --cycles 1000`: publishes, deploys and deletes versions.

Memory, open files, Redis keys and disk are counted after a quarter of the cycles and at the end. The command
fails if one of them has grown by more than its margin: then the cycles leave something behind.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil
import redis

from bench.calls import WrongAnswer
from bench.commands import ended
from bench.servers import DidNotStart
from bench.supervision.models import write_pipeline
from bench.supervision.running import Running, running
from shared import keys
from shared.payload_folder import stored_bytes
from stack.redis_url import queue_url
from takt.version_files import VersionFiles, archive_body

MODEL = "cycled"
TEMPORARY = "tmp"
"""The temporary folder of the programs, beside the store."""
_LOOK_EVERY_S = 0.1
_LIMIT_S = 300.0
_CALM_S = 15.0
"""Time without a new or ended process, after which no version is being replaced."""
_MIB = 2**20
_LINES = 60
"""Lines of a log that are shown after an error."""
_OF_TIME = (keys.history(0)[:-1].encode(), keys.hour("").encode())
"""Keys with a time to live, one for each slot of time, however many cycles are made in it."""
_DECLARATION = """
name = "cycled"
framework = "python"
default_version = "0.0.0"

[[inputs]]
name = "x"
type = "float"
example = 1.0

[[outputs]]
name = "y"
view = "value"
"""
_MODEL = """
class Model:
    def load(self, folder):
        self.factor = {number}.0

    def predict(self, columns):
        return columns["x"] * self.factor
"""


@dataclass(frozen=True)
class Held:
    """What the programs hold after a number of cycles."""

    gateway_mib: float
    supervisor_mib: float
    forks_mib: float  # fork server and workers, pages that they share counted once
    processes: float
    open_files: float
    redis_keys: float
    redis_mib: float
    disk_mib: float  # the store, and what verifications leave in the temporary folder


MARGINS = Held(
    gateway_mib=24, supervisor_mib=4, forks_mib=48, processes=2, open_files=24, redis_keys=24, redis_mib=6,
    disk_mib=4,
)  # fmt: skip
"""Growth that is no sign of a leak: allocators, logs, the bounded history of deployments."""


def settled(takt: Running) -> None:
    """Wait until the processes of the versions before have ended."""
    end_s, calm_s, known = time.monotonic() + _LIMIT_S, time.monotonic(), set[int]()
    while time.monotonic() < min(end_s, calm_s + _CALM_S):
        time.sleep(_LOOK_EVERY_S)
        now = {one.pid for one in takt.supervisor.children(recursive=True)}
        if now != known:
            calm_s, known = time.monotonic(), now


def held_now(takt: Running, data: Path, models: Path) -> Held:
    supervisor = takt.supervisor
    forks = supervisor.children(recursive=True)
    stack = [psutil.Process(takt.process.pid), *psutil.Process(takt.process.pid).children(recursive=True)]
    gateways = [one for one in stack if "api" in one.cmdline()]
    queue = redis.Redis.from_url(queue_url(data))
    lasting = sum(1 for key in queue.scan_iter(count=1000) if not key.startswith(_OF_TIME))
    return Held(
        gateway_mib=sum(one.memory_full_info().uss for one in gateways) / _MIB,
        supervisor_mib=supervisor.memory_full_info().uss / _MIB,
        forks_mib=sum(one.memory_full_info().pss for one in forks) / _MIB,
        processes=len(stack),
        open_files=sum(one.num_fds() for one in stack),
        redis_keys=lasting,
        redis_mib=queue.info("memory")["used_memory"] / _MIB,
        disk_mib=(stored_bytes(models) + stored_bytes(models.parent / TEMPORARY)) / _MIB,
    )


def cycle(http: httpx.Client, folder: Path, number: int) -> None:
    """Publish a version, serve it alone, and delete the version before it."""
    version, before = f"0.0.{number}", f"0.0.{number - 1}"
    (folder / "model.py").write_text(_MODEL.format(number=number))
    files = {name: folder / name for name in ("model.toml", "model.py")}
    body = b"".join(archive_body(VersionFiles(MODEL, version, files)).pieces())
    path = f"/models/{MODEL}"
    http.post(f"{path}/versions", params={"version": version}, content=body).raise_for_status()
    target = {"wanted": [version], "default": version}
    http.put(f"{path}/deployment", json=target).raise_for_status()
    _wait_for(http, version, float(number))
    if number > 1:
        http.delete(f"{path}/versions/{before}").raise_for_status()


def _wait_for(http: httpx.Client, version: str, factor: float) -> None:
    end_s = time.monotonic() + _LIMIT_S
    while time.monotonic() < end_s:
        answer = http.post(f"/models/{MODEL}/predict", json={"x": 1.0})
        if answer.status_code == 200 and answer.headers["x-model-version"] == version:
            if answer.json()["y"] != factor:
                raise WrongAnswer(f"{version} answered {answer.json()}")
            return
        time.sleep(_LOOK_EVERY_S)
    raise DidNotStart(f"{version} is not served after {_LIMIT_S:g} s: {answer.text}")


@contextmanager
def _explained(data: Path) -> Iterator[None]:
    """Add the last lines of the worker's log to an error, because the folder is removed with it."""
    try:
        yield
    except (DidNotStart, httpx.HTTPError) as error:
        logs = sorted(data.glob("**/worker*.log"))
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()[-_LINES:]]
        raise DidNotStart("\n".join([str(error), *lines])) from error


def growth(first: Held, last: Held) -> Iterator[str]:
    """The counts that have grown beyond their margins."""
    before, margins = asdict(first), asdict(MARGINS)
    for name, after in asdict(last).items():
        if after - before[name] > margins[name]:
            yield f"{name} grew from {before[name]:.1f} to {after:.1f}, more than {margins[name]:g}"


def run(cycles: int, every: int) -> None:
    """Raises WrongAnswer if something grows."""
    with tempfile.TemporaryDirectory() as place:
        root, models, source = Path(place), Path(place) / "models", Path(place) / "source"
        for folder in (models, source, root / TEMPORARY):
            folder.mkdir()
        os.environ["TMPDIR"] = str(root / TEMPORARY)
        write_pipeline(models, "small")
        (source / "model.toml").write_text(_DECLARATION)
        data = root / "data"
        first: Held | None = None
        now = MARGINS
        with running(data, models, workers=1) as takt:
            takt.http.timeout = httpx.Timeout(_LIMIT_S)
            for number in range(1, cycles + 1):
                with _explained(data):
                    cycle(takt.http, source, number)
                if number % every == 0 or number in (max(1, cycles // 4), cycles):
                    settled(takt)
                    with suppress(psutil.NoSuchProcess):  # of a health command
                        now = held_now(takt, data, models)
                        first = now if first is None and number >= cycles // 4 else first
                        print(
                            number,
                            " ".join(f"{name}={value:.1f}" for name, value in asdict(now).items()),
                            flush=True,
                        )
            last = now
    if first is None or (grown := list(growth(first, last))):
        raise WrongAnswer("; ".join(grown) if first else "nothing was counted")
    print(f"{cycles} cycles: nothing grew beyond its margin")


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.deployment_cycles", description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--every", type=int, default=50, help="cycles between two printed counts")
    given = parser.parse_args(words)
    return ended("bench.deployment_cycles", lambda: run(given.cycles, given.every))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
