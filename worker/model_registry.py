"""The model versions of a worker: loading, loaded or failed. Each is loaded once, at the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import structlog

from shared.errors import ServiceError
from shared.keys import ModelKey, model_key, split_model_key
from shared.repository import Repository
from shared.settings import Settings
from shared.worker_records import HeldModel, ModelState
from worker.predictors import Predictor, load_predictor

log = structlog.get_logger(__name__)


@dataclass
class ModelRegistry:
    """The predictors of a worker, and the state of every configured model version.

    A single thread loads; others may read. `predictors` holds the served model versions and is filled by the
    caller of `load`.
    """

    predictors: dict[ModelKey, Predictor] = field(default_factory=dict)
    states: dict[str, HeldModel] = field(default_factory=dict)

    def load(
        self, repository: Repository, settings: Settings, *, on_loaded: Callable[[Predictor], bool]
    ) -> bool:
        """Load the configured model versions that this device can run, those expected to load fastest first.

        `on_loaded` is called in this thread with each predictor that is verified and warm; loading ends early
        if it returns False. A model that fails is reported, and the next is loaded. → False if loading ended
        early.
        """
        wanted = list(_wanted(repository, settings))
        self.states = {key: HeldModel(state=ModelState.LOADING) for key in wanted}
        for key in sorted(wanted, key=lambda key: _urgency(key, repository, settings)):
            predictor = self._load(key, repository, settings)
            if predictor is not None and not on_loaded(predictor):
                return False
        return True

    def _load(self, key: ModelKey, repository: Repository, settings: Settings) -> Predictor | None:
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
        except (Exception, SystemExit) as error:  # code of a model may raise anything
            reason = error.detail if isinstance(error, ServiceError) else f"{type(error).__name__}: {error}"
            log.error("model_failed", model=key, reason=reason)
            self.states[key] = HeldModel(state=ModelState.FAILED, reason=reason)
            return None
        log.info(
            "model_loaded",
            model=key,
            load_s=round(predictor.load_s, 2),
            rows_per_s=round(predictor.rows_per_s),
            runtime=predictor.runtimes.in_words(),
        )
        self.states[key] = HeldModel(
            state=ModelState.LOADED,
            load_s=predictor.load_s,
            digest=predictor.version.identity.artifact_sha256,
            spec_digest=predictor.version.identity.spec_sha256,
            runtimes=predictor.runtimes,
            built_with=predictor.version.manifest.frameworks,
            warnings=predictor.warnings,
        )
        return predictor


def _wanted(repository: Repository, settings: Settings) -> Iterator[ModelKey]:
    names = settings.model_names()
    for name in sorted(names if names is not None else repository.specs.keys() | repository.wrong.keys()):
        model, version = split_model_key(name)
        spec = repository.specs.get(model)
        if spec is None:
            yield model_key(model, version)  # unknown or wrong: reported as failed
        elif names is not None or spec.runs_on(settings.device):
            yield model_key(model, version or spec.default_version)


def _urgency(key: ModelKey, repository: Repository, settings: Settings) -> tuple[bool, int, ModelKey]:
    """Sort key: the default model first, then by artifact size, so that a large model delays no small
    model."""
    name, version = split_model_key(key)
    try:
        size_bytes = repository.version(name, version or None).manifest.size_bytes
    except (ServiceError, OSError):  # loading it will fail at once
        size_bytes = 0
    return name != settings.default_model, size_bytes, key
