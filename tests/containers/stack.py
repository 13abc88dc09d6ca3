"""A temporary stack of containers, and the commands that start, query, kill and remove it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent

# Runs in the PID namespace of Docker's host, because a container cannot kill its own PID 1.
KILL = """
import os, pathlib, sys
pid = sys.argv[1]
process = pathlib.Path("/proc", pid)
if (process / "comm").read_text().strip() == "tini":
    pid = (process / "task" / pid / "children").read_text().split()[0]
os.kill(int(pid), 9)
"""


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any  # whatever JSON came
    location: str


@dataclass(frozen=True)
class Stack:
    """A compose project. Commands raise CalledProcessError with their output in `output`."""

    compose: tuple[str, ...]  # the command's words
    project: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_image(self) -> str:
        return f"{self.project}-api:check"

    @property
    def worker_image(self) -> str:
        return f"{self.project}-worker:check"

    @property
    def images(self) -> tuple[str, str]:
        return self.api_image, self.worker_image

    def up(self, workers: int) -> None:
        self._compose("up", "-d", "--build", "--scale", f"worker-cpu={workers}")

    def logs(self) -> str:
        return self._compose("logs", "--no-color", "--tail", "40")

    def remove(self) -> None:
        """Remove containers, volumes, network and images, except those used by another stack."""
        self._compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        subprocess.run(["docker", "image", "rm", *self.images], capture_output=True, check=False)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, including ended containers."""
        labels = {"com.docker.compose.project": self.project, "com.docker.compose.service": service}
        filters = [f"--filter=label={name}={value}" for name, value in labels.items()]
        return docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()

    def call(self, method: str, path: str, body: object = None, timeout_s: float = 30.0) -> Answer:
        """Raises OSError if there is no answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:
                return Answer(response.status, json.load(response), response.headers.get("Location", ""))
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.load(error), "")

    def kill_program(self, container: str) -> None:
        """`kill -9` a container's process. Docker restarts it, because the kill is not Docker's own."""
        pid = inspect(container, "{{.State.Pid}}")
        host = ["--rm", "--pid=host", "--network=none", "--user=0", "--entrypoint=python"]
        docker("run", *host, self.api_image, "-c", KILL, pid)

    def _compose(self, *arguments: str) -> str:
        options = ["--project-name", self.project, "--env-file", ".env.example"]  # every default
        return run(*self.compose, *options, *arguments, environment=self._environment())

    def _environment(self) -> dict[str, str]:
        """Small chunks for a long job; short leases, so that a dead worker's leases expire soon."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TAKT_")}
        return inherited | {
            "TAKT_PUBLISH": f"127.0.0.1:{self.port}",
            "TAKT_API_IMAGE": self.api_image,
            "TAKT_WORKER_IMAGE": self.worker_image,
            "TAKT_CHUNK_ROWS": "100",
            "TAKT_LEASE_S": "8",
            "TAKT_BATCH_LIMIT_S": "6",
        }


def docker_problem() -> str:
    """The reason why Docker is not available, or an empty text."""
    try:
        docker("version", "--format", "{{.Server.Version}}")
        compose_command()
    except FileNotFoundError as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        return " ".join(str(error.output).split())[-160:]
    return ""


def compose_command() -> tuple[str, ...]:
    """Compose as a plugin of docker, or as a program. Raises FileNotFoundError if there is neither."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ("docker", "compose")
    run("docker-compose", "version")
    return ("docker-compose",)


def new_stack(compose: tuple[str, ...]) -> Stack:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Stack(compose, f"takt-check-{secrets.token_hex(3)}", probe.getsockname()[1])


def inspect(container: str, template: str) -> str:
    return docker("inspect", "--format", template, container)


def docker(*arguments: str) -> str:
    return run("docker", *arguments)


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    """A command's output on both streams."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=True,
    )
    return done.stdout.strip()
