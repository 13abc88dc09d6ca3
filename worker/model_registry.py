"""The model versions of a worker: loading, loaded or failed.

A worker that was forked got most of them, verified and open, from the fork server. A version that cannot be
forked, or all of them where no process can be forked, it loads itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog

from shared.environments import interpreter_of, own_environment
from shared.errors import ServiceError
from shared.keys import ModelKey, model_key, split_model_key
from shared.model_cache import with_files
from shared.repository import ModelVersion, Repository
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
    own_keys: set[ModelKey] = field(default_factory=set)

    def load(
        self,
        repository: Repository,
        settings: Settings,
        *,
        on_loaded: Callable[[Predictor], bool],
        reasons: Mapping[ModelKey, str] | str,
        deployed: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> bool:
        """Load the model versions of `reasons`: why each is loaded in this process. A single reason is that
        of all configured model versions that this device can run, those expected to load fastest first.

        `on_loaded` is called in this thread with each predictor that is verified and warm; loading ends early
        if it returns False. A model that fails is reported, and the next is loaded. → False if loading ended
        early.
        """
        if isinstance(reasons, str):
            reasons = dict.fromkeys(wanted_versions(repository, settings, deployed), reasons)
            self.states = {}
        self.own_keys = set(reasons)
        self.states |= {key: HeldModel(state=ModelState.LOADING) for key in reasons}
        for key, own_copy in reasons.items():
            predictor = self._load(key, repository, settings, own_copy)
            if predictor is not None and not on_loaded(predictor):
                return False
        return True

    @property
    def loading(self) -> list[str]:
        """The keys of the versions that are not settled yet."""
        return [key for key, model in list(self.states.items()) if model.state is ModelState.LOADING]

    def update(self, states: Mapping[str, HeldModel]) -> None:
        """Take over the states of the versions that this worker neither holds nor loads itself. One that its
        fork server has opened since is held by the worker that follows."""
        own = self.predictors.keys() | self.own_keys
        before = self.states
        self.states = {key: _not_held(state) for key, state in states.items()}
        self.states |= {key: state for key, state in before.items() if key in own}

    def _load(
        self, key: ModelKey, repository: Repository, settings: Settings, own_copy: str
    ) -> Predictor | None:
        try:
            predictor = load_predictor(
                with_files(wanted_version(repository, key), settings),
                device=settings.device,
                threads=settings.threads,
                mismatch=settings.framework_mismatch,
                runtime=settings.runtime,
            )
        except (Exception, SystemExit) as error:  # code of a model may raise anything
            reason = reason_of(error)
            log.error("model_failed", model=key, reason=reason)
            self.states[key] = HeldModel(state=ModelState.FAILED, reason=reason)
            return None
        self.states[key] = held_model(predictor, own_copy=own_copy)
        return predictor


def _not_held(state: HeldModel) -> HeldModel:
    return HeldModel(state=ModelState.LOADING) if state.state is ModelState.LOADED else state


def held_model(
    predictor: Predictor, *, own_copy: str = "", memory_bytes: int = 0, peak_bytes: int = 0
) -> HeldModel:
    """The record of a loaded predictor, which is logged."""
    log.info(
        "model_loaded",
        model=predictor.key,
        load_s=round(predictor.load_s, 2),
        rows_per_s=round(predictor.rows_per_s),
        runtime=predictor.runtimes.in_words(),
    )
    return HeldModel(
        state=ModelState.LOADED,
        load_s=predictor.load_s,
        digest=predictor.version.identity.artifact_sha256,
        spec_digest=predictor.version.identity.spec_sha256,
        runtimes=predictor.runtimes,
        built_with=predictor.version.manifest.frameworks,
        warnings=predictor.warnings,
        memory_bytes=memory_bytes,
        peak_bytes=peak_bytes,
        own_copy=own_copy,
    )


def reason_of(error: BaseException) -> str:
    """Why a version failed, for users."""
    return error.detail if isinstance(error, ServiceError) else f"{type(error).__name__}: {error}"


def wanted_version(repository: Repository, key: ModelKey) -> ModelVersion:
    """The files of a wanted version. Raises ServiceError if its declaration or its files are missing or
    wrong."""
    name, version = split_model_key(key)
    if name in repository.wrong:
        raise repository.wrong[name]
    return repository.version(name, version or None)


def wanted_versions(
    repository: Repository, settings: Settings, deployed: Mapping[str, Sequence[str]]
) -> list[ModelKey]:
    """The configured model versions that this device and the interpreter of this process can run, those
    expected to load fastest first.

    `deployed`: versions by model, as deployments want them. They count for a model that the settings name
    without a version, and for every model if they name none. An empty list: the model is unloaded.
    """
    own = own_environment()
    wanted = _wanted(repository, settings, deployed)
    here = [key for key in wanted if _environment(key, repository, settings) == own]
    return sorted(here, key=lambda key: _urgency(key, repository, settings))


def wanted_environments(
    repository: Repository, settings: Settings, deployed: Mapping[str, Sequence[str]]
) -> list[str]:
    """The environments of the configured model versions that processes of other interpreters load."""
    if own_environment():
        return []
    wanted = _wanted(repository, settings, deployed)
    return sorted({_environment(key, repository, settings) for key in wanted} - {""})


def _environment(key: ModelKey, repository: Repository, settings: Settings) -> str:
    """The environment of a version; empty also if it is not on this machine: loading reports that."""
    try:
        name = wanted_version(repository, key).environment
    except (ServiceError, OSError):
        return ""
    return name if name and interpreter_of(settings.environments_dir, name).exists() else ""


def _wanted(
    repository: Repository, settings: Settings, deployed: Mapping[str, Sequence[str]]
) -> Iterator[ModelKey]:
    names = settings.model_names()
    for name in sorted(names if names is not None else repository.specs.keys() | repository.wrong.keys()):
        model, version = split_model_key(name)
        spec = repository.specs.get(model)
        if spec is None:
            yield model_key(model, version)  # unknown or wrong: reported as failed
        elif names is not None or spec.runs_on(settings.device):
            undeployed = [] if names is None and model in repository.published else [spec.default_version]
            versions = [version] if version else deployed.get(model, undeployed)
            yield from (model_key(model, one) for one in versions)


def _urgency(key: ModelKey, repository: Repository, settings: Settings) -> tuple[bool, int, ModelKey]:
    """Sort key: the default model first, then by artifact size, so that a large model delays no small
    model."""
    name, version = split_model_key(key)
    try:
        size_bytes = repository.version(name, version or None).manifest.size_bytes
    except (ServiceError, OSError):  # loading it will fail at once
        size_bytes = 0
    return name != settings.default_model, size_bytes, key
