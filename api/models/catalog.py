"""What this gateway can be asked for: every model, its versions, and how its requests are read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import structlog

from api.access.principal import ANONYMOUS, Principal, no_such_model
from api.models.rendering import AnswerRenderer
from api.telemetry.counters import RequestCounters
from api.telemetry.stages import StageTimes
from shared.columns import Encoder
from shared.errors import ModelNotFound, TaktError
from shared.keys import ModelKey, model_key, split_model_key
from shared.model_identity import ModelIdentity
from shared.repository import MANIFEST, Repository, is_version, newest_version
from shared.specs import NAME, ModelSpec
from shared.texts import did_you_mean, listed, named
from shared.validation import RowValidator

log = structlog.get_logger()

_MOST_CHARACTERS = 128
"""Of a version that is looked up on the disk."""


@dataclass(frozen=True, eq=False)
class Servable:
    """One version of one model, with all that its requests need."""

    spec: ModelSpec
    version: str
    key: ModelKey
    validator: RowValidator
    encode: Encoder
    renderer: AnswerRenderer
    times: StageTimes = field(default_factory=StageTimes)
    tally: RequestCounters = field(default_factory=RequestCounters)


class Catalog:
    """Models by name and version. A default version is there before it is built: a worker may hold it."""

    def __init__(
        self, repository: Repository, default_model: str, wanted: Collection[str] | None = None
    ) -> None:
        """`wanted`: the models to serve, as `name` or `name@version`; None: all of the repository."""
        self.root = repository
        self.repository = _restricted(repository, wanted)
        self.default_model = default_model
        self.identities: dict[ModelKey, ModelIdentity] = {}
        """What this gateway has of each version: its spec, and its artifact where that is built here."""
        specs = self.repository.specs
        self._validators = {name: RowValidator(spec) for name, spec in specs.items()}
        self._servables: dict[tuple[str, str], Servable] = {}
        self._defaults = {
            name: self._add(name, _default_version(spec, wanted)) for name, spec in specs.items()
        }
        for name in specs:
            self.learn(name, repository.versions(name))
        for error in self.repository.wrong.values():
            log.error("spec_wrong", reason=error.detail)

    @property
    def names(self) -> list[str]:
        return sorted(self.repository.specs)

    def __iter__(self) -> Iterator[Servable]:
        """Every version of every model that is known now."""
        return iter(list(self._servables.values()))

    @property
    def keys(self) -> list[ModelKey]:
        """Every version of every model."""
        return [servable.key for servable in self._servables.values()]

    @property
    def servables(self) -> list[Servable]:
        """Every version of every model that is known here."""
        return list(self._servables.values())

    @property
    def default(self) -> Servable | None:
        """What answers `/predict`; None where the repository lacks the default model."""
        return self._defaults.get(self.default_model)

    def find(
        self, model: str | None = None, version: str | None = None, asker: Principal = ANONYMOUS
    ) -> Servable:
        """The default version where none is named, of the default model where none is.

        Raises ModelNotFound where there is none, or none for this asker.
        """
        name = model if model is not None else self.default_model
        if asker.models is not None:
            self._require_sight(model, name, asker)
        found = self._defaults.get(name) if version is None else self._servables.get((name, version))
        if found is not None:
            return found
        self._require_restart(name, version)
        spec = self.repository.spec(name)  # raises where it is the model that is missing
        known = self.versions(spec.name)
        near = did_you_mean(str(version), known)
        there_are = listed(known)
        raise ModelNotFound(f"Model {name!r} has no version {named(version)}; there are: {there_are}.{near}")

    def _require_restart(self, name: str, version: str | None) -> None:
        """Raises ModelNotFound if the folder has by now what this gateway did not find when it started."""
        if not re.fullmatch(NAME, name):
            return
        folder = self.root.root / name
        if name not in self.root.specs.keys() | self.root.wrong.keys():
            if (folder / "model.toml").is_file():
                added = f"Model {name!r} was added after this gateway started"
                raise ModelNotFound(f"{added}: restart the gateway and the workers.")
        elif version is not None and _is_path(version) and (folder / version / MANIFEST).is_file():
            raise ModelNotFound(
                f"Version {version!r} of model {name!r} was built after this gateway started, and no worker "
                "holds it: restart the workers with it in TAKT_MODELS."
            )

    def _require_sight(self, model: str | None, name: str, asker: Principal) -> None:
        """Nor is somebody who sees some models told of the others. Raises ModelNotFound."""
        if model is None and not asker.sees(name):
            raise ModelNotFound("There is no default model for this key: name one.")
        asker.require_sight(name)
        if name not in self.repository.specs:
            raise no_such_model(name, asker.models or ())

    def versions(self, model: str) -> list[str]:
        return sorted(version for name, version in self._servables if name == model)

    def learn(self, model: str, versions: Iterable[str]) -> None:
        """Versions that are built here, or that a worker was seen to hold."""
        for version in versions:
            if model in self.repository.specs and (model, version) not in self._servables:
                self._add(model, version)

    def look_again(self) -> None:
        """Versions may be built again while this gateway runs: their artifacts' digests are read anew."""
        for servable in self.servables:
            self._identify(servable.spec, servable.version)

    def wire_identity(self, key: ModelKey) -> bytes:
        """What an entry for this version says of spec and artifact."""
        identity = self.identities.get(key)
        return identity.wire if identity is not None else b""

    def _identify(self, spec: ModelSpec, version: str) -> None:
        found, key = self._identity(spec, version), model_key(spec.name, version)
        if self.identities.get(key) != found:
            self.identities[key] = found

    def _identity(self, spec: ModelSpec, version: str) -> ModelIdentity:
        try:
            return self.repository.version(spec.name, version).identity
        except TaktError:  # it is not built here, or its manifest cannot be used
            return ModelIdentity(spec.digest)

    def _add(self, model: str, version: str) -> Servable:
        spec = self.repository.specs[model]
        self._identify(spec, version)
        servable = Servable(
            spec=spec,
            version=version,
            key=model_key(model, version),
            validator=self._validators[model],
            encode=Encoder(spec),
            renderer=AnswerRenderer(spec, version),
        )
        self._servables[model, version] = servable
        return servable


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
    """The spec's, unless only others were asked for: then the newest of those."""
    asked = [split_model_key(name) for name in wanted or ()]
    versions = [version or spec.default_version for name, version in asked if name == spec.name]
    if not versions or spec.default_version in versions:
        return spec.default_version
    return newest_version(versions)


def _is_path(version: str) -> bool:
    """Whether what a client names may be a folder's name."""
    return len(version) <= _MOST_CHARACTERS and is_version(version)
