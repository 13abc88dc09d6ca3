"""Environments of model versions: the Python interpreter and the packages that a version needs.

`[environment]` in model.toml declares one. A build resolves it to a lock, `environment.lock`, which is a file
of the version: every package with its version and hashes. The environment itself is a folder of the machine,
`{TAKT_ENVIRONMENTS_DIR}/{name}`, whose name is the begin of the lock's SHA-256: versions with an equal lock
share it.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from shared.declarations import Declaration
from shared.manifests import ArtifactManifest

LOCK = "environment.lock"
_NAME_DIGITS = 16
_PACKAGE = re.compile(r"[A-Za-z0-9][^\r\n#]*$")
OLDEST_PYTHON = (3, 11)
"""Takt's own code runs in every environment."""


class EnvironmentSpec(Declaration):
    """The table `[environment]` of model.toml."""

    python: str | None = Field(
        None, pattern=r"^3\.\d+(\.\d+)?$", description="version of Python; default: that of the worker"
    )
    requirements: tuple[str, ...] | str = Field(
        description="packages, such as `scikit-learn==1.5.2`, or the name of a file beside model.toml"
    )

    @field_validator("python")
    @classmethod
    def _supported(cls, python: str | None) -> str | None:
        if python and tuple(map(int, python.split(".")[:2])) < OLDEST_PYTHON:
            raise ValueError(f"Takt's worker needs Python {'.'.join(map(str, OLDEST_PYTHON))} or later")
        return python

    @field_validator("requirements", mode="before")
    @classmethod
    def _packages_or_file(cls, stated: Any) -> Any:  # Any: TOML
        if isinstance(stated, str):
            if not stated or Path(stated).name != stated:
                raise ValueError(f"{stated!r} is not the name of a file beside model.toml")
            return stated
        if not stated or not isinstance(stated, list | tuple):
            raise ValueError("is a list of packages, or the name of a file beside model.toml")
        if wrong := [one for one in stated if not isinstance(one, str) or not _PACKAGE.match(one)]:
            raise ValueError(f"{wrong[0]!r} is not a package, such as 'scikit-learn==1.5.2'")
        return tuple(stated)


def environment_of(manifest: ArtifactManifest) -> str:
    """The name of a version's environment; empty: the worker's own."""
    lock = manifest.files.get(LOCK)
    return lock.sha256[:_NAME_DIGITS] if lock else ""


def environment_name(lock_sha256: str) -> str:
    return lock_sha256[:_NAME_DIGITS]


def interpreter_of(environments_dir: Path, name: str) -> Path:
    """The interpreter of an environment, which exists once the environment has been made."""
    return environments_dir.absolute() / name / "bin" / "python"


@cache
def own_environment() -> str:
    """The name of the environment whose interpreter runs this process; empty: none."""
    return Path(sys.prefix).name if (Path(sys.prefix) / LOCK).is_file() else ""
