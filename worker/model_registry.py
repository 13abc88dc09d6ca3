"""Which model versions this worker holds, and why not the others. Loaded once, when the worker starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from shared.errors import TaktError
from shared.keys import ModelKey, model_key, split_model_key
from shared.repository import Repository
from shared.settings import Settings
from shared.workers import HeldModel, ModelState
from worker.predictors import Predictor, load_predictor

log = structlog.get_logger(__name__)


@dataclass
class ModelRegistry:
    """The predictors of a worker, and the state of every model version that it was to hold."""

    predictors: dict[ModelKey, Predictor] = field(default_factory=dict)
    states: dict[str, HeldModel] = field(default_factory=dict)

    def load(self, repository: Repository, settings: Settings) -> None:
        """Load what the settings name and this device may run. A failure is reported; the rest serve."""
        wanted = list(_wanted(repository, settings))
        for key in wanted:
            self.states[key] = HeldModel(state=ModelState.LOADING)
        for key in wanted:
            self._load(key, repository, settings)

    def _load(self, key: ModelKey, repository: Repository, settings: Settings) -> None:
        name, version = split_model_key(key)
        try:
            if name in repository.wrong:
                raise repository.wrong[name]
            predictor = load_predictor(
                repository.version(name, version or None),
                device=settings.device,
                threads=settings.threads,
                mismatch=settings.framework_mismatch,
                runtime=settings.runtime,
            )
        except (Exception, SystemExit) as error:  # a model's own code may raise anything
            reason = error.detail if isinstance(error, TaktError) else f"{type(error).__name__}: {error}"
            log.error("model_failed", model=key, reason=reason)
            self.states[key] = HeldModel(state=ModelState.FAILED, reason=reason)
            return
        log.info(
            "model_loaded",
            model=key,
            load_s=round(predictor.load_s, 2),
            rows_per_s=round(predictor.rows_per_s),
            runtime=predictor.runtimes.in_words(),
        )
        self.predictors[key] = predictor
        self.states[key] = HeldModel(
            state=ModelState.LOADED,
            load_s=predictor.load_s,
            digest=predictor.version.identity.artifact_sha256,
            spec_digest=predictor.version.identity.spec_sha256,
            runtimes=predictor.runtimes,
            built_with=predictor.version.manifest.frameworks,
            warnings=predictor.warnings,
        )


def _wanted(repository: Repository, settings: Settings) -> Iterator[ModelKey]:
    names = settings.model_names()
    for name in sorted(names if names is not None else repository.specs.keys() | repository.wrong.keys()):
        model, version = split_model_key(name)
        spec = repository.specs.get(model)
        if spec is None:
            yield model_key(model, version)  # unknown or wrong: reported as failed
        elif names is not None or spec.runs_on(settings.device):
            yield model_key(model, version or spec.default_version)
