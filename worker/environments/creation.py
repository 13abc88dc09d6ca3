"""Locks the environment of a model, and makes the environment of a lock, completely or not at all."""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.environments import LOCK, EnvironmentSpec, environment_name, interpreter_of
from shared.errors import ArtifactError
from shared.integrity import digest_of
from shared.settings import Settings
from shared.specs import ModelSpec
from worker.environments.requirements import check_framework, requirements_of
from worker.environments.uv import Uv

Step = Callable[[str], None]
"""Called with what is done next."""

_HEAD = "# Takt environment: Python {python}; made by `takt models build`, do not edit\n"
_COMPILE = ("--compile-bytecode",) if sys.dont_write_bytecode else ()
"""Otherwise Python compiles what is imported, and only that."""
_PYTHON = re.compile(r"# Takt environment: Python (\d+\.\d+);")
_PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


@dataclass(frozen=True)
class Environment:
    """An environment of this machine."""

    name: str
    python: Path
    took_s: float = 0.0  # 0: it existed


def lock(
    environment: EnvironmentSpec, home: Path, settings: Settings, step: Step, *, spec: ModelSpec | None = None
) -> bytes:
    """Resolve the requirements of a model. → the content of its `environment.lock`.

    `home`: the folder of model.toml. `spec`: None if it is not written yet. Raises ArtifactError.
    """
    uv = Uv(settings)
    wanted = requirements_of(environment, home, spec)
    interpreter = _interpreter(uv, environment.python)
    step("locking the packages of its environment")
    python = _version_of(uv, interpreter)
    resolved = uv.packages(
        *("compile", "-", "--generate-hashes", "--no-header", "--no-annotate", "--python", str(interpreter)),
        text=wanted,
    )
    if spec:
        check_framework(spec, _PACKAGE.findall(resolved))
    return (_HEAD.format(python=python) + resolved).encode()


def make(content: bytes, settings: Settings, step: Step) -> Environment:
    """The environment of a lock, which is made unless it exists. Raises ArtifactError."""
    name = environment_name(digest_of(content))
    python = interpreter_of(settings.environments_dir, name)
    if python.exists():
        return Environment(name, python)
    shutil.rmtree(python.parents[1], ignore_errors=True)  # its interpreter was removed
    begun_s = time.monotonic()
    text = content.decode()
    step(f"making environment {name}: {len(_PACKAGE.findall(text))} packages")
    _install(text, python.parents[1], Uv(settings))
    took_s = time.monotonic() - begun_s
    step(f"environment {name} made in {took_s:.1f} s")
    return Environment(name, python, took_s)


def _install(lock_text: str, target: Path, uv: Uv) -> None:
    found = _PYTHON.match(lock_text)
    if found is None:
        raise ArtifactError(
            f"{LOCK}: its first line does not name a version of Python; build the version again"
        )
    interpreter = _interpreter(uv, found[1])
    folder = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        uv.run("venv", "--relocatable", "--no-project", "--python", str(interpreter), str(folder))
        (folder / LOCK).write_text(lock_text, encoding="utf-8", newline="")
        uv.packages(
            *("sync", "--require-hashes", "--python", str(folder / "bin" / "python"), *_COMPILE),
            str(folder / LOCK),
        )
        _put(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(folder: Path, target: Path) -> None:
    """Rename a finished environment. An environment that another process has made meanwhile is kept."""
    try:
        folder.rename(target)
    except OSError:
        if not target.exists():
            raise


def _interpreter(uv: Uv, python: str | None) -> Path:
    """The interpreter of a version of Python; None: that of this process. Raises ArtifactError."""
    own = ".".join(map(str, sys.version_info[:3]))
    if python is None or own == python or own.startswith(f"{python}."):
        return Path(getattr(sys, "_base_executable", sys.executable))
    try:
        return Path(uv.run("python", "find", "--no-python-downloads", "--system", python).strip())
    except ArtifactError as error:
        raise ArtifactError(
            f"environment: Python {python} is not on this machine: install it, for example with "
            f"`uv python install {python}`, or leave out `python` for Python {own}"
        ) from error


def _version_of(uv: Uv, interpreter: Path) -> str:
    """`3.11` of an interpreter."""
    if interpreter == Path(getattr(sys, "_base_executable", sys.executable)):
        return ".".join(map(str, sys.version_info[:2]))
    return ".".join(uv.run("python", "find", "--show-version", str(interpreter)).strip().split(".")[:2])
