"""Describes the software that computes a job's chunks: stored with each result, and in the job's manifest."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import msgspec

from shared import VERSION
from worker.predictors import Predictor, library_versions

QUARANTINE = "native (quarantine)"
"""The runtime of a chunk that ran in a quarantine process, which has only the native runtime."""
_BESIDE = ("numpy", "pyarrow")
_COMPILERS = ("numba", "onnxruntime")


class Provenance:
    """The description of a model version in this worker, as JSON; always the same text."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._texts: dict[tuple[str, str], str] = {}

    def of(self, predictor: Predictor, *, quarantined: bool = False) -> str:
        runtime = QUARANTINE if quarantined else predictor.runtimes.in_words()
        known = (predictor.key, runtime)
        if known not in self._texts:
            self._texts[known] = self._described(predictor, runtime)
        return self._texts[known]

    def _described(self, predictor: Predictor, runtime: str) -> str:
        spec = predictor.spec
        about = {
            "artifact_sha256": predictor.version.manifest.sha256,
            "runtime": runtime,
            "device": self._device,
            "precision": spec.precision.value if spec.framework == "pytorch" else "float64",
            "machine": platform.machine(),
            "versions": _versions(spec.framework),
        }
        return msgspec.json.encode(about, order="sorted").decode()


def _versions(framework: str) -> dict[str, str]:
    """Versions of Takt, Python, the framework, and of installed packages that other runtimes need."""
    beside = {name: found for name in (*_BESIDE, *_COMPILERS) if (found := _installed(name))}
    python = ".".join(map(str, sys.version_info[:3]))
    return {"takt": VERSION, "python": python} | library_versions.installed(framework) | beside


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
