"""What Takt's worker itself needs in an environment, beside the packages of the model.

Ranges are those of `pyproject.toml`. Libraries that also compute have no range here: the requirements of the
model select their versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.environments import EnvironmentSpec
from shared.errors import ArtifactError
from shared.frameworks import declared
from shared.specs import ModelSpec

TAKT = (
    "blake3>=1,<2",
    "celery==5.7.*",
    "kombu[redis]==5.7.*",
    "msgspec>=0.20,<1",
    "obstore>=0.8,<1",
    "opentelemetry-exporter-otlp-proto-http>=1.40,<2",
    "opentelemetry-sdk>=1.40,<2",
    "prometheus-client>=0.22,<1",
    "psutil>=6,<8",
    "pyarrow>=20,<27",
    "pydantic>=2.11,<3",
    "pydantic-settings>=2.9,<3",
    "redis[hiredis]==8.1.*",
    "structlog>=25,<27",
)
COMPUTING = ("numba", "numpy", "pandas")
IMAGES = ("pillow>=11,<14",)
ONNX = ("onnxruntime", "skl2onnx")


def requirements_of(environment: EnvironmentSpec, home: Path, spec: ModelSpec | None) -> str:
    """The text of a requirements file: the packages of the model and those of Takt.

    `home`: the folder of model.toml. Raises ArtifactError if the named file is missing.
    """
    stated = environment.requirements
    lines = [_file(home / stated)] if isinstance(stated, str) else list(stated)
    return "\n".join([*lines, *TAKT, *COMPUTING, *(_extras(spec) if spec else ())]) + "\n"


def _extras(spec: ModelSpec) -> tuple[str, ...]:
    return (IMAGES if spec.has_images else ()) + (ONNX if spec.runtime == "onnx" else ())


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(f"{path}: requirements of the environment: cannot be read: {reason}") from error


def check_framework(spec: ModelSpec, locked: Sequence[str]) -> None:
    """Raises ArtifactError if the locked packages lack a library of the model's framework."""
    for library in declared(spec.framework).libraries:
        names = (library.distribution, *library.others)
        if not set(names) & set(locked):
            raise ArtifactError(
                f"environment: framework = {spec.framework!r} needs {library.distribution}: add it to the "
                f"requirements, with the version that trained the model, such as {library.distribution}==…"
            )
