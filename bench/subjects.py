"""The models for all rivals, each with the row of online requests and the artifact."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.answers import Answer, read_answer
from shared.frameworks.builtin import PytorchOptions
from shared.repository import ModelVersion, open_repository
from shared.settings import environment

ROOT = Path(__file__).resolve().parent.parent
_BUILD_LIMIT_S = 180.0
_ASK_LIMIT_S = 120.0


@dataclass(frozen=True)
class Subject:
    """A model of a repository, and one of its rows as JSON."""

    name: str
    repository: Path
    row: Mapping[str, object]

    @property
    def body(self) -> bytes:
        return json.dumps(self.row).encode()


_FLOWER = {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.3}
SUBJECTS = (
    Subject("iris", ROOT / "models", _FLOWER),
    Subject("iris_xgboost", ROOT / "bench" / "models", _FLOWER),
    Subject("iris_lightgbm", ROOT / "bench" / "models", _FLOWER),
    Subject(
        "classifier",
        ROOT / "models",
        {"features": [-0.7, 0.1, -0.2, 0.9, 0.0, 0.0, -0.7, 0.5, -1.0, 0.7]},
    ),
    Subject(
        "heavy",
        ROOT / "bench" / "models",
        {"features": [(number * 37 % 101 - 50) / 25 for number in range(32)]},
    ),
)


@dataclass(frozen=True)
class Description:
    """Description of a model for programs other than Takt: see bench/served_model.py."""

    name: str
    artifact: str
    fields: tuple[str, ...]
    width: int  # numbers in a row
    classes: tuple[str, ...]
    network: str | None = None  # file with the network's class; None: the artifact is an estimator
    network_class: str = ""
    arguments: Mapping[str, object] = msgspec.field(default_factory=dict)


def subject(name: str) -> Subject:
    """Return the subject of this name. Raises ValueError if it is unknown."""
    for one in SUBJECTS:
        if one.name == name:
            return one
    raise ValueError(f"unknown model {name!r}; available: {', '.join(s.name for s in SUBJECTS)}")


def built(one: Subject) -> ModelVersion:
    """The verified default version, which is built if necessary.

    Raises subprocess.SubprocessError, and TaktError for an invalid repository.
    """
    if not open_repository(one.repository).versions(one.name):
        settings = environment({"models_dir": str(one.repository)})
        command = [sys.executable, "-m", "worker", "build", one.name]
        subprocess.run(
            command, cwd=ROOT, env=settings, check=True, timeout=_BUILD_LIMIT_S, stdout=subprocess.DEVNULL
        )
    version = open_repository(one.repository).version(one.name)
    version.verify()
    return version


def describe(version: ModelVersion) -> Description:
    spec = version.spec
    network = spec.options if isinstance(spec.options, PytorchOptions) else None
    module, _, name = network.module.partition(":") if network else ("", "", "")
    return Description(
        name=spec.name,
        artifact=str(version.artifact),
        fields=tuple(one.name for one in spec.inputs),
        width=spec.inputs[0].shape[0] if spec.inputs[0].shape else len(spec.inputs),
        classes=spec.classes,
        network=str(version.folder.parent / f"{module}.py") if network else None,
        network_class=name,
        arguments=network.arguments if network else {},
    )


def right_answer(one: Subject, description: Path) -> Answer:
    """The model's own answer to the subject's row, computed in a separate process."""
    command = [sys.executable, "-m", "bench.served_model", str(description)]
    asked = subprocess.run(
        command, cwd=ROOT, input=one.body, check=True, capture_output=True, timeout=_ASK_LIMIT_S
    )
    return read_answer(asked.stdout)
