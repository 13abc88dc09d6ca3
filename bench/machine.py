"""Where a run takes place, and the versions that take part."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.results import Machine
from stack.parts import available_cores
from stack.refusals import Refusal
from stack.valkey import find_binary

PACKAGES = ("fastapi", "uvicorn", "celery", "redis", "scikit-learn", "torch", "numpy")


def this_machine(rivals: Mapping[str, str] | None = None) -> Machine:
    """`rivals`: the versions of those that have libraries of their own."""
    return Machine(
        cores=available_cores(),
        processor=_processor(),
        system=f"{platform.system()} {platform.release()}",
        load_before=os.getloadavg()[0],
        versions=_versions() | dict(rivals or {}),
    )


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    with contextlib.suppress(Refusal):
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
    """The processor's name as Linux gives it, else its architecture."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()
