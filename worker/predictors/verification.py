"""Verification of a model version in one process, and its opening in another process without a call.

    verifier     open ─ golden rows ─ warm-up ─ acceleration ─▶ VersionReport
    fork server  open ─ settle ─ compile what the report chose ─▶ Predictor, as if it had been verified here

The report has the rates, the choice of runtimes, and what the native runtime decided by its calls.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Container
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Literal

from shared.repository import ModelVersion
from worker.control.control_messages import VersionReport
from worker.control.operating_system import allocated_bytes, thread_names
from worker.predictors import open_predictor, verified_predictor
from worker.predictors.acceleration import with_chosen_runtimes
from worker.predictors.base import Predictor, Settling


def verify_version(
    version: ModelVersion,
    *,
    device: str,
    threads: int,
    mismatch: Literal["warn", "refuse"],
    runtime: Literal["auto", "native"],
) -> VersionReport:
    """Open a version and verify it in this process, which is a fork and does nothing else.

    Raises ArtifactError, and any exception of a model's code.
    """
    begun_s, before_bytes = time.perf_counter(), allocated_bytes()
    opened = open_predictor(version, device=device, threads=threads, mismatch=mismatch)
    memory_bytes, beside = allocated_bytes() - before_bytes, thread_names()[1:]
    before_calls = set(sys.modules)
    verified = verified_predictor(opened, runtime)
    return VersionReport(
        rates=dict(verified.rates),
        runtimes=verified.runtimes,
        settled=opened.runtime.settled() if isinstance(opened.runtime, Settling) else {},
        load_s=time.perf_counter() - begun_s,
        memory_bytes=max(0, memory_bytes),
        peak_bytes=max(0, allocated_bytes() - before_bytes),
        modules=[name for name, module in sys.modules.items() if _is_new(name, module, before_calls)],
        own_copy=f"opening it starts threads: {', '.join(beside)}" if beside else "",
    )


def _is_new(name: str, module: ModuleType, before: Container[str]) -> bool:
    """Whether calls have imported this module, and another process finds it by its name."""
    spec = getattr(module, "__spec__", None)
    return name not in before and spec is not None and spec.name == name and spec.has_location


def open_verified(
    version: ModelVersion, report: VersionReport, *, threads: int, mismatch: Literal["warn", "refuse"]
) -> Predictor:
    """Open a version that a verifier has passed, in a process that will fork. No row is predicted.

    Raises ArtifactError, and any exception of a model's code.
    """
    opened = open_predictor(version, device="cpu", threads=threads, mismatch=mismatch)
    if isinstance(opened.runtime, Settling):
        opened.runtime.settle(report.settled)
    for module in report.modules:
        with suppress(Exception):  # then the first call of each worker tries it again
            import_module(module)
    chosen = with_chosen_runtimes(opened, report.runtimes)
    return replace(chosen, rates=dict(report.rates), load_s=report.load_s)
