"""The plan of a `takt up`: validated settings, models and ports, before anything is started."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic import ValidationError

from shared.cpu_cores import available_cores, default_workers
from shared.environments import interpreter_of
from shared.errors import ArtifactError
from shared.keys import model_key, split_model_key
from shared.repository import Repository, is_version, open_repository
from shared.settings import Settings
from shared.specs import ModelSpec
from stack.command_errors import CommandError
from stack.data_folder import Folder

WORKERS = "worker"
"""Name of the service that supervises the workers `worker/0`, `worker/1`, …"""


@dataclass(frozen=True)
class Plan:
    """A validated configuration of a stack that is ready to start."""

    settings: Settings
    folder: Folder
    repository: Repository
    models: tuple[ModelSpec, ...]  # the served models, the default model first
    named: Mapping[str, tuple[str, ...]]  # model → requested versions, if any
    problems: tuple[str, ...]  # why other models of the repository are not served
    gateways: int  # processes on the port
    workers: int
    redis_url: str | None  # an existing server's URL; None: the embedded server

    @property
    def http_url(self) -> str:
        """The gateway's URL on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.host, self.settings.host)  # noqa: S104
        return (
            f"http://[{host}]:{self.settings.port}" if ":" in host else f"http://{host}:{self.settings.port}"
        )

    @property
    def exposed(self) -> bool:
        """Whether other machines may reach the gateway."""
        return self.settings.exposed()

    @property
    def guarded(self) -> bool:
        """Whether requests need a key."""
        return self.settings.asks_for_keys()

    def environment(self, redis_url: str) -> dict[str, str]:
        """Returns the settings for the services."""
        return {
            "redis_url": redis_url,  # complete: other settings must not change the embedded server's URL
            "redis_username": "",
            "redis_password": "",
            "redis_ca_file": "",
            "host": self.settings.host,
            "gateways": str(self.gateways),
            "port": str(self.settings.port),
            "access": self.settings.access,
            "models_dir": str(self.repository.root),
            "models_url": "",
            "models": self._model_names(),
            "default_model": self.default_model,
            "device": self.settings.device,
            "payload_url": self.payload_url,
            "run_dir": str(self.folder.run),
            "environments_dir": str(self.settings.environments_dir.absolute()),
        }

    def worker_environment(self) -> dict[str, str]:
        """Returns the settings of the workers' supervisor."""
        port = self.settings.worker_metrics_port or 0
        found = {"worker_name": WORKERS, "workers": str(self.workers), "worker_metrics_port": str(port)}
        return found | ({"models": "all"} if self._serves_all else {})

    @property
    def _serves_all(self) -> bool:
        return self.settings.model_names() is None and not self.problems

    def _model_names(self) -> str:
        """Not a list of today's models if all of them are served: others may be published."""
        if self._serves_all and len(self.models) == len(self.repository.specs):
            return "all"
        return ",".join(key for spec in self.models for key in self.keys_of(spec))

    @property
    def payload_url(self) -> str:
        chosen = "payload_url" in self.settings.model_fields_set
        return self.settings.payload_url if chosen else self.folder.payloads.as_uri()

    @property
    def default_model(self) -> str:
        """The model of `/predict`: the first model, or a configured default that cannot be read."""
        chosen = self.settings.default_model
        names = self.settings.model_names()
        is_broken = chosen in self.repository.wrong and (names is None or chosen in map(_model_of, names))
        return chosen if is_broken else self.models[0].name

    def keys_of(self, spec: ModelSpec) -> list[str]:
        """Returns the model's name, or a key for each requested version."""
        versions = self.named.get(spec.name, ())
        return [model_key(spec.name, version) if version else spec.name for version in versions or ("",)]

    def unbuilt(self) -> list[str]:
        """Returns the models whose requested or default version has no artifact, or no environment on this
        machine."""
        return [key for spec in self.models for key in self.keys_of(spec) if not self._is_built(spec, key)]

    def _is_built(self, spec: ModelSpec, key: str) -> bool:
        version = split_model_key(key)[1] or spec.default_version
        if version not in self.repository.versions(spec.name):
            return False
        try:
            name = self.repository.version(spec.name, version).environment
        except ArtifactError:  # the worker reports it
            return True
        return not name or interpreter_of(self.settings.environments_dir, name).exists()


def make_plan(data: Path, workers: int | None, given: Mapping[str, Any]) -> Plan:
    """Returns the plan for these options. Values in `given` that are not None override the environment.

    Raises CommandError if an option or setting is invalid.
    """
    settings = read_settings(given)
    if settings.uses_object_store():
        raise CommandError(
            "takt up serves a folder of models: unset TAKT_MODELS_URL, or start `python -m api` and "
            "`python -m worker run`, which read the object store"
        )
    repository = open_repository(settings.models_folder().resolve())
    port = settings.port or _any_port(settings.host)
    settings = settings.model_copy(update={"port": port})
    if workers is not None and workers < 1:
        raise CommandError("--workers: must be at least 1")
    models = _served(repository, settings)
    cores = available_cores()
    gateways = settings.gateways or default_gateways(cores)
    return Plan(
        settings=settings,
        folder=Folder(data.resolve()),
        repository=repository,
        models=models,
        named=_named(settings, models),
        problems=tuple(_problems(repository, settings)),
        gateways=gateways,
        workers=workers or settings.workers or default_workers(settings.device, cores, gateways),
        redis_url=settings.redis_dsn() if "redis_url" in settings.model_fields_set else None,
    )


def read_settings(given: Mapping[str, Any] | None = None) -> Settings:
    """Returns the environment's settings, overridden by options.

    Raises CommandError if a setting is invalid.
    """
    try:
        return Settings(**{name: value for name, value in (given or {}).items() if value is not None})
    except ValidationError as error:
        # the value is not repeated: it may be a URL with a password
        wrong = "; ".join(f"TAKT_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise CommandError(f"invalid setting: {wrong}") from error


def default_gateways(cores: int) -> int:
    """Returns a quarter of the cores, at least 1, and 1 where several processes cannot share a port."""
    return max(1, cores // 4) if sys.platform == "linux" else 1


def _served(repository: Repository, settings: Settings) -> tuple[ModelSpec, ...]:
    """Raises CommandError if no model is left to serve, ModelNotFound for an unknown name."""
    names = settings.model_names()
    if names is None:
        specs = list(repository.specs.values())
    else:
        chosen = {_model_of(name) for name in names} - repository.wrong.keys()
        specs = [repository.spec(name) for name in sorted(chosen)]
    if not specs and (problems := list(_problems(repository, settings))):
        raise CommandError("\n".join(problems))
    if not specs:
        raise CommandError(
            f"{repository.root} contains no model; a model is a folder with a model.toml (--models-dir)"
        )
    fitting = [spec for spec in specs if spec.runs_on(settings.device)]
    if not fitting:
        raise CommandError(
            f"no chosen model runs on {settings.device}: {', '.join(spec.name for spec in specs)}"
        )
    return tuple(sorted(fitting, key=lambda spec: (spec.name != settings.default_model, spec.name)))


def _named(settings: Settings, models: Sequence[ModelSpec]) -> dict[str, tuple[str, ...]]:
    """Returns model → requested versions; an empty version is the default.

    Raises CommandError for an invalid version.
    """
    asked = [split_model_key(name) for name in sorted(settings.model_names() or ())]
    if wrong := [f"{name}@{version}" for name, version in asked if version and not is_version(version)]:
        raise CommandError(f"--models: {wrong[0]!r} is not a version, such as 1.0.0")
    return {spec.name: tuple(version for name, version in asked if name == spec.name) for spec in models}


def _problems(repository: Repository, settings: Settings) -> Iterator[str]:
    """Yields why requested models cannot be read."""
    names = settings.model_names()
    for name, error in repository.wrong.items():
        if names is None or name in map(_model_of, names):
            yield error.detail


def _model_of(name: str) -> str:
    return split_model_key(name)[0]


# -- port --------------------------------------------------------------------------------------------------


def check_port(host: str, port: int) -> None:
    """Raises CommandError if the gateway cannot listen there, naming the process that does."""
    try:
        _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"port {port} on {host} is in use{_taken_by(port)}. Stop that program, or choose another "
                f"port: takt up --port {port + 1}"
            ) from error
        raise CommandError(
            f"cannot listen on {host} port {port}: {error.strerror or error}. See --host and --port."
        ) from error


def _any_port(host: str) -> int:
    try:
        return _bind(host, 0)
    except OSError as error:
        raise CommandError(f"cannot listen on {host}: {error.strerror or error}. See --host.") from error


def _bind(host: str, port: int) -> int:
    """Bind as the gateway will, then close the socket. Returns the port."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)
        bound: int = probe.getsockname()[1]
        return bound


def _taken_by(port: int) -> str:
    """Returns ` by PID 123 (python)`, or nothing if this user may not see it."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                name = psutil.Process(connection.pid).name() if connection.pid else "unknown"
                return f" by PID {connection.pid} ({name})" if connection.pid else ""
    return ""
