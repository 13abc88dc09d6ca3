"""Predictors: loaded model versions of any framework. Other packages load models only through this module.

    load_predictor ─ device ─ digests ─ library versions ─ load ─ golden rows ─ warm-up ─ acceleration
                                                                                              └─▶ Predictor

Each step may refuse the artifact. No framework opens an artifact before its digest is verified. A framework
is imported when the first model that needs it is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import structlog

from shared.environments import own_environment
from shared.errors import ArtifactError, PredictionFailedError
from shared.frameworks import declared, made_for
from shared.repository import ModelVersion
from shared.safe_texts import listed
from worker.predictors import library_versions
from worker.predictors.acceleration import accelerate, native_only
from worker.predictors.base import ModelRuntime, OutOfMemoryError, Predictor, batch_sizes
from worker.predictors.file_contents import check_contents
from worker.predictors.implementation import ModelFiles, implementation_of
from worker.predictors.load_checks import check_loaded
from worker.predictors.load_warnings import recorded_warnings
from worker.predictors.model_code import open_folder
from worker.predictors.output_types import UnfitValuesError
from worker.predictors.pickles import NEEDS_CUDA, ON_CPU

__all__ = [
    "ModelRuntime",
    "OutOfMemoryError",
    "Predictor",
    "batch_sizes",
    "load_predictor",
    "open_predictor",
    "verified_predictor",
]

log = structlog.get_logger()

_LONG_SLICE_S = 0.05
"""A call of this duration measures the rate of slices well enough."""


def load_predictor(
    version: ModelVersion,
    *,
    device: str,
    threads: int,
    mismatch: Literal["warn", "refuse"],
    runtime: Literal["auto", "native"] = "auto",
) -> Predictor:
    """Load a predictor on `device` (`cpu` or `cuda:N`), check its golden rows and warm it up.

    `threads` limits the CPU threads of a call. `mismatch`: warn about or refuse an artifact that was built
    with another version of its framework. `runtime` "native" compiles no model, whatever its spec requests.
    Raises ArtifactError, which names every problem found.
    """
    started = time.perf_counter()
    predictor = open_predictor(version, device=device, threads=threads, mismatch=mismatch)
    return replace(verified_predictor(predictor, runtime), load_s=time.perf_counter() - started)


def verified_predictor(predictor: Predictor, runtime: Literal["auto", "native"]) -> Predictor:
    """Check an opened predictor's golden rows and probabilities, warm it up, and choose its runtimes.

    Raises ArtifactError.
    """
    version, artifact = predictor.version, predictor.version.artifact
    if problem := predictor.golden_problem():
        raise ArtifactError(f"{artifact}: {problem}")
    check_loaded(predictor)
    try:
        rates = predictor.warm_up(batch_sizes(version.spec.batching.max_rows))
        rates |= predictor.warm_up_slices(_LONG_SLICE_S)
    except PredictionFailedError as error:
        raise ArtifactError(f"{artifact}: warm-up: {error.detail}{_advice(error)}") from error
    return _accelerated(replace(predictor, rates=rates), runtime)


def _advice(error: PredictionFailedError) -> str:
    """What to do if the model itself fails on the rows of model.toml."""
    if error.__cause__ is None or isinstance(error.__cause__, UnfitValuesError):
        return ""
    if NEEDS_CUDA.search(error.detail):
        return f"; {ON_CPU}"
    return "; declare the inputs of the training in model.toml, in its order, or correct the model"


def _accelerated(predictor: Predictor, runtime: Literal["auto", "native"]) -> Predictor:
    if predictor.spec.runtime == "native":
        return native_only(predictor, "set by model.toml")
    if runtime == "native":
        return native_only(predictor, "set by TAKT_RUNTIME")
    return accelerate(predictor)


def open_predictor(
    version: ModelVersion, *, device: str, threads: int, mismatch: Literal["warn", "refuse"]
) -> Predictor:
    """Load a predictor without calling it: no golden rows, no warm-up."""
    _check_device(version, device)
    _check_environment(version)
    artifact = version.verify()
    found = [*_difference(version)]
    _judge(version, found, mismatch)
    with recorded_warnings() as warned:
        runtime = _load(version, artifact, device, threads)
    found += warned.texts
    if not found:
        return Predictor(version, runtime)
    _judge(version, warned.of_versions, mismatch)
    for text in warned.texts:
        log.warning("framework_warning", model=version.key, warning=text)
    return Predictor(version, runtime, warnings=tuple(found))


def _check_device(version: ModelVersion, device: str) -> None:
    if not version.spec.runs_on(device):
        raise ArtifactError(f"{version.key}: is for {version.spec.device}, and this worker has {device}")


def _check_environment(version: ModelVersion) -> None:
    if version.environment and version.environment != own_environment():
        raise ArtifactError(
            f"{version.key}: needs environment {version.environment}, which is not on this machine or not "
            f"that of this process: `takt models build {version.key}` makes it"
        )


def _difference(version: ModelVersion) -> Iterator[str]:
    """How the installed libraries differ from those that made the artifact, by its manifest and its
    content."""
    framework = version.spec.framework
    recorded = version.manifest.frameworks
    stated = recorded | dict(library_versions.stated_by(framework, version.artifact).versions)
    for built_with in (stated, recorded):
        if difference := library_versions.mismatch(built_with, framework, version.manifest.artifact):
            yield difference
            return


def _judge(version: ModelVersion, differences: Sequence[str], mismatch: Literal["warn", "refuse"]) -> None:
    if differences and mismatch == "refuse":
        raise ArtifactError(f"{version.artifact}: {differences[0]} (TAKT_FRAMEWORK_MISMATCH=refuse)")
    for difference in differences:
        log.warning("framework_mismatch", model=version.key, difference=difference)


def _load(version: ModelVersion, artifact: Path, device: str, threads: int) -> ModelRuntime:
    try:
        return _open(version, artifact, device, threads)
    except ArtifactError as error:
        raise ArtifactError(_with_path(artifact, error.detail)) from error
    except (Exception, SystemExit) as error:  # an artifact may make its framework raise anything
        raise ArtifactError(f"{artifact}: cannot be loaded: {type(error).__name__}: {error}") from error


def _with_path(artifact: Path, detail: str) -> str:
    """The sentence with the artifact's path, once."""
    name = artifact.name
    return f"{artifact}{detail[len(name) :]}" if detail.startswith(f"{name} ") else f"{artifact}: {detail}"


def _open(version: ModelVersion, artifact: Path, device: str, threads: int) -> ModelRuntime:
    framework, spec = declared(version.spec.framework), version.spec
    if other := made_for(artifact.name, framework, is_folder=artifact.is_dir()):
        raise ArtifactError(
            f"is an artifact of {other}, and model.toml has framework = {framework.name!r}: declare "
            f"framework = {other!r}, or use an artifact of {listed(framework.suffixes)}"
        )
    check_contents(artifact, framework.name)
    open_folder(version.folder.parent)
    files = ModelFiles(artifact, version)
    implementation = implementation_of(framework)
    with files.code.importable():
        return implementation.load(spec, files, device, threads)
