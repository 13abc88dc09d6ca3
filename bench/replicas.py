"""The programs of a Takt with several gateways and supervisors: `takt up`, and further ones beside it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.servers import DidNotStart, plain_environment
from bench.subjects import ROOT
from shared.settings import environment
from stack.process_group import ProcessGroup
from stack.redis_url import queue_url
from stack.service_logs import Log
from stack.valkey import free_port

_START_LIMIT_S = 90.0


@dataclass(frozen=True)
class Replicas:
    """Starts the programs of a Takt. All methods are context managers that stop their program after the
    block, and raise DidNotStart."""

    folder: Path
    repository: Path
    leash: ProcessGroup
    default_model: str

    @property
    def redis_url(self) -> str:
        """The queue of `takt up`."""
        return queue_url(self.folder / "data")

    @contextmanager
    def takt_up(self, *options: str) -> Iterator[tuple[str, int]]:
        """A queue, a gateway and a supervisor. Yields the gateway's URL and the process id."""
        program, port = str(Path(sys.executable).with_name("takt")), free_port()
        command = [program, "up", "--models-dir", str(self.repository), *options]
        command += ["--port", str(port), "--data", str(self.folder / "data")]
        settings = {"gateways": "1", "default_model": self.default_model}
        url = f"http://127.0.0.1:{port}"
        with self._started(command, "up", settings) as process:
            _wait_ready(process, url, Log(self.folder / "up.log"))
            yield url, process.pid

    @contextmanager
    def gateway(self, number: int) -> Iterator[tuple[str, int]]:
        """A further gateway. Yields its URL and process id."""
        name, port = f"gateway-{number}", free_port()
        settings = {"default_model": self.default_model, "gateway_name": name, "port": str(port)}
        url = f"http://127.0.0.1:{port}"
        with self._started([sys.executable, "-m", "api"], name, self._shared | settings) as process:
            _wait_ready(process, url, Log(self.folder / f"{name}.log"))
            yield url, process.pid

    @contextmanager
    def supervisor(self, number: int) -> Iterator[int]:
        """A further supervisor with a worker. Yields its process id, before its worker serves."""
        name = f"worker-{number}"
        settings = {"worker_name": name, "workers": "1", "run_dir": str(self.folder / name)}
        command = [sys.executable, "-m", "worker", "run"]
        with self._started(command, name, self._shared | settings) as process:
            yield process.pid

    @property
    def _shared(self) -> dict[str, str]:
        """The settings that further programs have in common with `takt up`."""
        payloads = (self.folder / "data" / "payloads").as_uri()
        models = str(self.repository)
        return {"redis_url": self.redis_url, "models_dir": models, "payload_url": payloads}

    @contextmanager
    def _started(
        self, command: Sequence[str], name: str, settings: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A program; its output goes to a file in the folder."""
        given = {f"TAKT_{setting.upper()}": value for setting, value in settings.items()}
        with Log(self.folder / f"{name}.log").open() as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=plain_environment(environment({})) | given,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=self.leash.group,
            )
        try:
            yield process
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
