"""The declaration of a framework: its name, its files, its libraries, and its table in model.toml."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

FOLDER = "/"
"""In `Framework.artifacts`: the artifact may be a folder."""
ANY_FILE = ""
"""In `Framework.artifacts`: the artifact may be any file."""

NetworkActivation: TypeAlias = Literal["none", "softmax", "sigmoid"]
"""Applied to a network's answer. `sigmoid` with classes: one logit becomes two classes."""


class Precision(StrEnum):
    """Number format of a torch network's computation. Inputs and answers are float32 elsewhere."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"  # 11 bits of significand, up to 65504: on a GPU only
    BFLOAT16 = "bfloat16"  # 8 bits, the range of float32

    @property
    def tolerance(self) -> float:
        """Permitted difference from the float32 answer, relative to its size, absolute below 1."""
        return {Precision.FLOAT32: 0.0, Precision.FLOAT16: 5e-3, Precision.BFLOAT16: 4e-2}[self]


class Options(BaseModel):
    """The table of a framework in model.toml, `[name]`; a framework without options uses this class."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Library:
    """A library that a framework needs."""

    module: str  # the name that Python imports
    distribution: str  # the name of its version in a manifest
    others: tuple[str, ...] = ()  # other distributions of the same module, such as a build for a GPU


@dataclass(frozen=True, kw_only=True)
class Framework:
    """A framework as gateway and worker know it.

    Another package adds one with an entry point of the group `takt.frameworks`, whose value refers to an
    instance of this class: `acme = "acme_takt:framework"`.
    """

    name: str  # of `framework` in model.toml, and of its table
    implementation: str  # module with `load` and `made_by`, see `worker.predictors.implementation`
    libraries: tuple[Library, ...]
    install: str  # what `pip install` needs for the libraries, such as takt-server[xgboost]
    artifacts: tuple[str, ...]  # suffixes of its artifacts; FOLDER: a folder
    pickled: tuple[str, ...] = ()  # suffixes of artifacts that are pickles
    options: type[Options] = Options
    names_answers: bool = True  # False: outputs without `from`, `method` or `column` show the same answer
    forkable: bool = True  # a process that has opened an artifact may fork, and the child may predict

    @property
    def suffixes(self) -> tuple[str, ...]:
        return tuple(suffix for suffix in self.artifacts if suffix != FOLDER)

    def accepts(self, artifact: str, *, is_folder: bool = False) -> bool:
        """Whether a file or folder of this name is usually its artifact."""
        if is_folder:
            return FOLDER in self.artifacts
        return artifact.lower().endswith(self.suffixes)

    def is_pickled(self, artifact: str) -> bool:
        """Whether the artifact is a pickle, which depends on the version of Python that wrote it."""
        return bool(self.pickled) and artifact.lower().endswith(self.pickled)
