"""The catalog: all models and versions that this gateway serves, with their decoders and encoders."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import structlog

from api.access.principal import ANONYMOUS, Principal, no_such_model
from api.fleet.snapshot import Fleet
from api.models.rendering import AnswerRenderer
from api.models.routing import Route, place_of, route_of
from api.telemetry.gateway_counters import RequestCounters
from api.telemetry.stages import StageTimes
from shared.columns import Encoder
from shared.deployments import Deployment, Target
from shared.errors import ModelNotFoundError, ModelStoreError, ServiceError
from shared.keys import ModelKey, model_key, split_model_key
from shared.manifests import MANIFEST
from shared.model_identity import ModelIdentity
from shared.repository import Repository, is_version, newest_version, open_repository
from shared.safe_texts import did_you_mean, listed, named
from shared.spec_files import SPEC
from shared.specs import NAME, ModelSpec
from shared.validation import RowValidator

log = structlog.get_logger()

_MOST_CHARACTERS = 128
"""Longest version that is looked up on the disk."""


@dataclass(frozen=True, eq=False)
class Servable:
    """A model version, with all parts that its requests need."""

    spec: ModelSpec
    version: str
    key: ModelKey
    validator: RowValidator
    encode: Encoder
    renderer: AnswerRenderer
    times: StageTimes = field(default_factory=StageTimes)
    counters: RequestCounters = field(default_factory=RequestCounters)


class Catalog:
    """Models by name and version, including default versions that are not built: a worker may hold them."""

    def __init__(
        self,
        repository: Repository,
        default_model: str,
        wanted: Collection[str] | None = None,
        refresh: Callable[[], object] = lambda: None,
    ) -> None:
        """`wanted`: the models to serve, as `name` or `name@version`; None: the whole repository. `refresh`
        brings the repository up to date with an object store."""
        self.root = repository
        self._refresh = refresh
        self._reloads = threading.Lock()
        self.repository = _restricted(repository, wanted)
        self.default_model = default_model
        self.identities: dict[ModelKey, ModelIdentity] = {}
        """This gateway's spec of each version, and its artifact if it is built here."""
        specs = self.repository.specs
        self._servables: dict[tuple[str, str], Servable] = {}
        self._wanted = wanted
        self._defaults = {
            name: self._add(name, _default_version(spec, wanted)) for name, spec in specs.items()
        }
        self.splits: dict[str, Route[Servable]] = {}
        """Routes of the models whose requests are divided between versions."""
        self._aliases: dict[tuple[str, str], Servable] = {}
        self._follows = False
        """Whether it has routed by deployments."""
        self._absent: set[tuple[str, str]] = set()
        self._leaving: set[tuple[str, str]] = set()
        """Versions that left the repository while they were in use."""
        for name in specs:
            self.learn(name, repository.versions(name))
        for error in self.repository.wrong.values():
            log.error("spec_wrong", reason=error.detail)

    @property
    def names(self) -> list[str]:
        return sorted(self.repository.specs)

    def __iter__(self) -> Iterator[Servable]:
        """Iterate over all known versions of all models."""
        return iter(list(self._servables.values()))

    @property
    def keys(self) -> list[ModelKey]:
        """The keys of all known versions of all models."""
        return [servable.key for servable in self._servables.values()]

    @property
    def servables(self) -> list[Servable]:
        """All known versions of all models."""
        return list(self._servables.values())

    @property
    def defaults(self) -> list[ModelKey]:
        """The versions of requests that name none, of all models."""
        return [servable.key for servable in self._defaults.values()]

    @property
    def default(self) -> Servable | None:
        """The default version of the default model, for `/predict`; None if the repository lacks it."""
        return self._defaults.get(self.default_model)

    def find(
        self, model: str | None = None, version: str | None = None, caller: Principal = ANONYMOUS
    ) -> Servable:
        """Find a model version; None: the default model, or the model's default version.

        Raises ModelNotFoundError if it does not exist or the caller does not see it.
        """
        name = model if model is not None else self.default_model
        if caller.models is not None:
            self._require_sight(model, name, caller)
        found = self._defaults.get(name) if version is None else self._servables.get((name, version))
        if found is None and version is not None:
            found = self._aliases.get((name, version))
        if found is not None:
            return found
        self._require_deployment(name, version)
        spec = self.repository.spec(name)  # raises if the model is missing
        known = self.versions(spec.name)
        near = did_you_mean(str(version), known)
        there_are = listed(known)
        raise ModelNotFoundError(
            f"Model {name!r} has no version {named(version)}. Versions: {there_are}.{near}"
        )

    def _require_deployment(self, name: str, version: str | None) -> None:
        """Raises ModelNotFoundError if the model or version was added after this gateway started."""
        if not re.fullmatch(NAME, name):
            return
        folder = self.root.root / name
        if name not in self.root.specs.keys() | self.root.wrong.keys():
            if (folder / SPEC).is_file():
                added = f"Model {name!r} was added after this gateway started"
                raise ModelNotFoundError(f"{added}. Deploy it: takt deploy {name} VERSION")
        elif version is not None and _is_path(version) and (folder / version / MANIFEST).is_file():
            raise ModelNotFoundError(
                f"Version {version!r} of model {name!r} was built after this gateway started, and no worker "
                f"holds it. Deploy it: takt deploy {name} {version}"
            )

    def _require_sight(self, model: str | None, name: str, caller: Principal) -> None:
        """Raises ModelNotFoundError if the caller does not see the model, as if it did not exist."""
        if model is None and not caller.sees(name):
            raise ModelNotFoundError("Your API key has no default model. Name a model in the path.")
        caller.require_sight(name)
        if name not in self.repository.specs:
            raise no_such_model(name, caller.models or ())

    def versions(self, model: str) -> list[str]:
        return sorted(version for name, version in self._servables if name == model)

    def learn(self, model: str, versions: Iterable[str]) -> None:
        """Add versions that are built here or held by a worker."""
        for version in versions:
            if model in self.repository.specs and (model, version) not in self._servables:
                self._add(model, version)

    def route(self, servable: Servable, key: bytes | None) -> Servable:
        """What serves a request that names no version and found `servable`. `key`: its routing key."""
        route = self.splits.get(servable.spec.name)
        return servable if route is None else route.choose(place_of(key))

    def deploy(self, deployments: Mapping[str, Deployment], fleet: Fleet) -> None:
        """Route by these deployments, as far as live workers hold their versions. A model whose deployment
        is gone is served as its model.toml declares it."""
        splits: dict[str, Route[Servable]] = {}
        aliases: dict[tuple[str, str], Servable] = {}
        for name in list(self._defaults):
            route = self._route_by(deployments.get(name), name, fleet)
            self._defaults[name] = route.default
            aliases |= {(name, alias): served for alias, served in route.aliases.items()}
            if route.split:
                splits[name] = route
        self.splits, self._aliases, self._follows = splits, aliases, True

    def _route_by(self, deployment: Deployment | None, name: str, fleet: Fleet) -> Route[Servable]:
        if deployment is None:
            return Route(self._declared(name))
        target, current = deployment.target, self._defaults[name]
        self.learn(name, target.wanted)
        if not self._follows:  # nothing was served here before, so that nothing is kept
            current = self._servables.get((name, target.default), current)
        return self._route(target, current, fleet)

    def _declared(self, name: str) -> Servable:
        """The version of a model without a deployment."""
        spec = self.repository.specs.get(name)
        known = spec and self._servables.get((name, _default_version(spec, self._wanted)))
        return known or self._defaults[name]

    def _route(self, target: Target, current: Servable, fleet: Fleet) -> Route[Servable]:
        name = current.spec.name
        versions = {version: one for (model, version), one in self._servables.items() if model == name}

        def held(version: str) -> bool:
            return fleet.serves(model_key(name, version))

        return route_of(target, versions, held, current, held(current.version))

    def lacks(self, deployments: Mapping[str, Deployment], fleet: Fleet) -> bool:
        """Whether a deployed or held model version is in the repository and not known here yet."""
        named = {(name, version) for name, one in deployments.items() for version in one.target.wanted}
        named |= set(map(split_model_key, fleet.held))
        new = named - self._servables.keys() - self._absent
        self._absent |= new  # looked for once, unless it appears
        return bool(new)

    def reload(self) -> bool:
        """Read the repository again, for models and versions that were added, replaced or removed since.

        → False if the model store is away: then the repository is as it was.
        """
        with self._reloads:
            try:
                self._refresh()
            except ModelStoreError as error:
                log.warning("model_store_away", reason=error.detail)
                self._absent.clear()
                return False
            self.root = open_repository(self.root.root)
            self.repository = _restricted(self.root, self._wanted)
            for name, spec in self.repository.specs.items():
                if name not in self._defaults:
                    self._defaults[name] = self._add(name, _default_version(spec, self._wanted))
                self._replace(name)
                self.learn(name, self.repository.versions(name))
            self._leaving = self._servables.keys() - self._stored()
            return True

    def _stored(self) -> set[tuple[str, str]]:
        """The versions in the repository, and those that model.toml files declare."""
        specs = self.repository.specs
        stored = {(name, version) for name in specs for version in self.repository.versions(name)}
        return stored | {(name, _default_version(spec, self._wanted)) for name, spec in specs.items()}

    def _replace(self, model: str) -> None:
        """Take over the declarations of versions that were removed and published again with other bytes."""
        for version in self.versions(model):
            spec = self._spec_of(model, version)
            was = self._servables[model, version]
            if spec is not was.spec and (self.root.root / model / version / SPEC).is_file():
                self._add(model, version)

    def forget(self, deployments: Mapping[str, Deployment], fleet: Fleet) -> list[ModelKey]:
        """Forget versions that left the repository, once they are neither deployed nor held by a worker.

        → their keys
        """
        held = set(map(split_model_key, fleet.held))
        wanted = {(name, version) for name, one in deployments.items() for version in one.target.wanted}
        gone = self._leaving - wanted - held
        for name, version in gone:
            log.info("version_forgotten", model=model_key(name, version))
            self._leaving.discard((name, version))
            self._servables.pop((name, version), None)
            self.identities.pop(model_key(name, version), None)
            if name not in self.repository.specs:
                self._defaults.pop(name, None)
        return [model_key(name, version) for name, version in gone]

    def look_again(self) -> None:
        """Read the digests of all artifacts again: versions may be rebuilt while this gateway runs."""
        for servable in self.servables:
            self._identify(servable.spec, servable.version)

    def wire_identity(self, key: ModelKey) -> bytes:
        """The spec and artifact digests in entries for this version."""
        identity = self.identities.get(key)
        return identity.wire if identity is not None else b""

    def _identify(self, spec: ModelSpec, version: str) -> None:
        found, key = self._identity(spec, version), model_key(spec.name, version)
        if self.identities.get(key) != found:
            self.identities[key] = found

    def _identity(self, spec: ModelSpec, version: str) -> ModelIdentity:
        try:
            return self.repository.version(spec.name, version).identity
        except ServiceError:  # not built here, or its manifest is invalid
            return ModelIdentity(spec.digest)

    def _add(self, model: str, version: str) -> Servable:
        spec = self._spec_of(model, version)
        self._identify(spec, version)
        servable = Servable(
            spec=spec,
            version=version,
            key=model_key(model, version),
            validator=self._validator_of(spec),
            encode=Encoder(spec),
            renderer=AnswerRenderer(spec, version),
        )
        self._servables[model, version] = servable
        return servable

    def _spec_of(self, model: str, version: str) -> ModelSpec:
        try:
            return self.repository.spec_of(model, version)
        except ServiceError as error:
            log.error("spec_wrong", reason=error.detail)
            return self.repository.specs[model]

    def _validator_of(self, spec: ModelSpec) -> RowValidator:
        """Versions with one spec share a validator."""
        shared = (one.validator for one in self.servables if one.spec is spec)
        return next(shared, None) or RowValidator(spec)


def _restricted(repository: Repository, wanted: Collection[str] | None) -> Repository:
    if wanted is None:
        return repository
    names = {split_model_key(name)[0] for name in wanted}
    return Repository(
        repository.root,
        {name: spec for name, spec in repository.specs.items() if name in names},
        {name: error for name, error in repository.wrong.items() if name in names},
    )


def _default_version(spec: ModelSpec, wanted: Collection[str] | None) -> str:
    """The spec's default version; if only other versions are wanted, the newest of those."""
    asked = [split_model_key(name) for name in wanted or ()]
    versions = [version or spec.default_version for name, version in asked if name == spec.name]
    if not versions or spec.default_version in versions:
        return spec.default_version
    return newest_version(versions)


def _is_path(version: str) -> bool:
    """Whether a client's version is safe to use as a folder name."""
    return len(version) <= _MOST_CHARACTERS and is_version(version)
