"""Verifies a built model version: its digest is correct, it loads, and it answers its golden rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from shared.errors import ServiceError
from shared.keys import ModelKey
from shared.repository import Repository
from shared.worker_records import Runtimes
from worker.predictors import load_predictor


@dataclass(frozen=True)
class Verification:
    """The result of verifying a version."""

    key: ModelKey
    golden_rows: int
    problem: str | None  # None: digest, loading and golden rows are correct
    sha256: str
    load_s: float = 0.0
    rows_per_s: float = 0.0  # at the model's largest online batch
    runtimes: Runtimes = field(default_factory=Runtimes)
    warnings: tuple[str, ...] = ()  # from its framework, while it was loaded

    @property
    def ok(self) -> bool:
        return self.problem is None


def verify_model(
    repository: Repository,
    name: str,
    version: str | None = None,
    *,
    device: str = "cpu",
    threads: int = 1,
    mismatch: Literal["warn", "refuse"] = "warn",
    runtime: Literal["auto", "native"] = "auto",
) -> Verification:
    """Verify a built version, by default the model's default version.

    Problems of the artifact are returned in the report. Raises SpecError or ModelNotFound if there is no
    version to verify.
    """
    if name in repository.wrong:
        raise repository.wrong[name]
    found = repository.version(name, version)
    golden_rows, sha256 = len(found.spec.golden), found.manifest.sha256
    try:
        predictor = load_predictor(found, device=device, threads=threads, mismatch=mismatch, runtime=runtime)
    except ServiceError as error:
        return Verification(found.key, golden_rows, error.detail, sha256)
    return Verification(
        found.key,
        golden_rows,
        None,
        sha256,
        load_s=predictor.load_s,
        rows_per_s=predictor.rows_per_s,
        runtimes=predictor.runtimes,
        warnings=predictor.warnings,
    )
