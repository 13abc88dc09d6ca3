"""The files of a version: those that build.py wrote, or, without a build.py, those beside model.toml."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import ArtifactError
from shared.frameworks import declared
from shared.frameworks.builtin import PythonOptions
from shared.safe_texts import first_of, listed
from shared.specs import VERSION, ModelSpec

_DECLARATION = "model.toml"
_CACHE = "__pycache__"
_BUILDING = re.compile(r"\.building-[0-9a-f]+")
_TEXTS = (".md", ".toml")


@dataclass(frozen=True)
class Build:
    """The return value of `build(folder: Path) -> Build` in a build.py."""

    artifact: str  # name of the file or folder that it wrote into `folder`
    metrics: dict[str, float] = field(default_factory=dict)  # measured on rows not used for training
    frameworks: dict[str, str] = field(default_factory=dict)
    """Package → version that made the artifact. Needed only if the artifact was made elsewhere and does
    not record it."""


def artifact_in(spec: ModelSpec, folder: Path) -> Build:
    """The build of a folder that holds the files of a version already. Raises ArtifactError like `gather`."""
    return Build(_artifact(spec, folder, list(_beside(folder))).name)


def gather(spec: ModelSpec, home: Path, folder: Path) -> Build:
    """Copy the files beside model.toml. The artifact is the only file or folder of the framework's kind.

    Raises ArtifactError if there is none, or more than one.
    """
    beside = list(_beside(home))
    artifact = _artifact(spec, home, beside)
    for path in beside:
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        copy(path, folder / path.name)
    return Build(artifact.name)


def _beside(home: Path) -> Iterator[Path]:
    """Everything that belongs to a version: no declaration, no built version, no hidden file."""
    for path in sorted(home.iterdir()):
        is_version = bool(re.fullmatch(VERSION, path.name) or _BUILDING.search(path.name))
        if not (is_version or path.name in (_DECLARATION, _CACHE) or path.name.startswith(".")):
            yield path


def _artifact(spec: ModelSpec, home: Path, beside: list[Path]) -> Path:
    framework = declared(spec.framework)
    if isinstance(spec.options, PythonOptions):
        return _module(spec.options, home)
    files = [path for path in beside if path.suffix not in _TEXTS]
    found = [path for path in files if framework.accepts(path.name, is_folder=path.is_dir())]
    if len(found) == 1:
        return found[0]
    there = first_of([path.name for path in (found or files)])
    wanted = listed([suffix if suffix != "/" else "a folder" for suffix in framework.artifacts])
    if found:
        raise ArtifactError(f"{home}: has several artifacts, {there}: keep one, or write a build.py")
    raise ArtifactError(
        f"{home}: has neither build.py nor an artifact of {spec.framework} ({wanted}), but {there}: put the "
        "trained file beside model.toml"
    )


def _module(options: PythonOptions, home: Path) -> Path:
    module = options.module.partition(":")[0].replace(".", "/")
    path = next((p for p in (home / f"{module}.py", home / module / "__init__.py") if p.is_file()), None)
    if path is None:
        raise ArtifactError(
            f"{home}: has no {module}.py, which [python] module names: put it beside model.toml"
        )
    return home / path.relative_to(home).parts[0]
