"""Description of a run's machine and software versions."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.results import Facts, Machine
from shared.cpu_cores import available_cores
from stack.command_errors import CommandError
from stack.valkey import find_binary

PACKAGES = ("fastapi", "uvicorn", "celery", "redis", "scikit-learn", "torch", "numpy")


class Began:
    """State at the beginning of a run, before any program is started."""

    def __init__(self, command: str) -> None:
        self._command = re.sub(r" --json \S+", "", command)
        self._at, self._s = datetime.now(UTC), time.monotonic()
        self._machine = this_machine()

    def facts(self, rivals: Mapping[str, str] | None = None) -> Facts:
        """Describe the finished run. `rivals`: versions of the rivals' libraries."""
        machine = replace(self._machine, versions={**self._machine.versions, **(rivals or {})})
        return Facts(
            command=self._command,
            began_at=self._at.isoformat(timespec="seconds"),
            took_s=time.monotonic() - self._s,
            machine=machine,
        )


def this_machine() -> Machine:
    return Machine(
        cores=available_cores(),
        processor=_processor(),
        system=f"{platform.system()} {platform.release()}",
        load_before=os.getloadavg()[0],
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    with contextlib.suppress(CommandError):
        server = find_binary().server
        found[server.name] = server.version
    if h2load := _h2load():
        found["h2load"] = h2load
    return found


def _h2load() -> str | None:
    try:
        said = subprocess.run(
            ["h2load", "--version"], capture_output=True, text=True, check=True, timeout=5
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return said.strip().rpartition("/")[2]


def _processor() -> str:
    """The processor's name from Linux, or its architecture."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()
