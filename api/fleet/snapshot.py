"""The fleet snapshot: live workers, their models and the waiting online rows, shared by all requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from types import MappingProxyType

from msgspec import Struct

from shared.keys import ModelKey, split_model_key
from shared.model_identity import SAME_ON_BOTH, ModelIdentity, in_words
from shared.safe_texts import foreign_text
from shared.worker_records import (
    HeldModel,
    ModelState,
    OnDemandVersion,
    WorkerRecord,
    WorkerState,
)


@dataclass(frozen=True)
class ModelAvailability:
    """The workers of a model version."""

    holders: int = 0
    digests: frozenset[str] = frozenset([""])
    """Digests of the artifacts that they hold; an empty digest: unknown."""
    spec_digests: frozenset[str] = frozenset([""])
    """Digests of the specs that they loaded; an empty digest: unknown."""
    loading: int = 0
    drained: int = 0
    """Workers that hold it and are drained or stopping."""
    failures: tuple[str, ...] = ()
    """The errors of live workers that could not load it."""
    restarts: int = 0
    """Most restarts, within about a minute, of a worker that does not serve now."""
    on_demand: bool = False
    """Whether a supervisor loads it at its first request."""
    refusal: str = ""
    """Why no supervisor can load it on demand now; empty: one can, or none loads it on demand."""

    @property
    def failure(self) -> str:
        """Why a worker could not load it, as a client may read it; empty if none failed."""
        return foreign_text(self.failures[0]) if self.failures else ""


class OnlineCapacity(Struct, frozen=True):
    """What a snapshot has for the admission of a model version's requests."""

    holders: int
    """Workers with this gateway's spec and artifact: live, or, without any, expected back."""
    mismatch: str
    """How a worker's spec or artifact differs from this gateway's; empty: none differs."""
    rows_per_s: float
    """Of all holders together; 0: not measured."""
    least_call_s: float
    most_rows_per_s: float
    rates: tuple[tuple[ModelKey, float], ...]
    """Measured rates of the model versions that share its workers, its own included."""
    others_s: float
    """Seconds of work of other gateways that waits on its workers."""
    on_demand: bool
    """Whether a supervisor with this gateway's spec and artifact loads it if no worker holds it."""


@dataclass(frozen=True)
class Fleet:
    """The live workers at a moment. `read_at_s` is monotonic; None: never read."""

    read_at_s: float | None = None
    workers: tuple[WorkerRecord, ...] = ()
    returning: tuple[WorkerRecord, ...] = ()
    """Workers that ended without an order and are expected back, as of their last heartbeats."""
    others_rows: Mapping[ModelKey, float] = field(default_factory=lambda: MappingProxyType({}))
    """Estimated rows of other gateways in the online stream of each held model version."""
    lives: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """By worker name: number of starts with a heartbeat within about a minute."""
    seen_at_ms: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """By worker id: time of its last heartbeat by Redis' clock, in full seconds."""
    identities: Mapping[ModelKey, ModelIdentity] = field(default_factory=lambda: MappingProxyType({}))
    """This gateway's spec and artifact of each model version. Only workers with the same pair serve it."""

    @cached_property
    def silent(self) -> Mapping[str, int]:
        """Name → ms of the last heartbeat, of workers that neither live nor stopped in order."""
        live = {worker.id for worker in self.workers}
        names = {worker.name for worker in self.workers}
        found: dict[str, int] = {}
        for id_, at_ms in self.seen_at_ms.items():
            name = name_of(id_)
            if id_ not in live and name not in names:
                found[name] = max(at_ms, found.get(name, 0))
        return found

    @cached_property
    def held(self) -> frozenset[ModelKey]:
        """Model versions held by live workers."""
        return frozenset().union(*map(_held_by, self.workers))

    @cached_property
    def servers(self) -> Mapping[ModelKey, Sequence[WorkerRecord]]:
        """By model version: the live workers that hold it, or, without any, those that return to it."""
        return _by_model(self.returning) | _by_model(self.workers)

    @cached_property
    def model_names(self) -> list[str]:
        return sorted({split_model_key(key)[0] for key in self.held})

    @cached_property
    def rates(self) -> Mapping[ModelKey, float]:
        """Online rows per second of the workers that match this gateway; 0 if any is not measured."""
        return {key: _sum(model.rows_per_s for model in self._matching(key)) for key in self.servers}

    @cached_property
    def slice_rates(self) -> Mapping[ModelKey, float]:
        """Job rows per second of all holders; 0 if any is not measured."""
        return {key: _sum(model.slice_rows_per_s for model in self._models(key)) for key in self.held}

    @cached_property
    def least_call_s(self) -> Mapping[ModelKey, float]:
        """Shortest measured model call by model version; 0 if any worker has measured none."""
        return {key: min(model.least_call_s for model in self._serving(key)) for key in self.servers}

    @cached_property
    def most_rows_per_s(self) -> Mapping[ModelKey, float]:
        """Highest measured rate of all workers together; 0 if any worker has measured none."""
        return {key: _sum(model.most_rows_per_s for model in self._serving(key)) for key in self.servers}

    @cached_property
    def _beside(self) -> Mapping[ModelKey, frozenset[ModelKey]]:
        return {key: frozenset().union(*map(_held_by, workers)) for key, workers in self.servers.items()}

    def beside(self, key: ModelKey) -> frozenset[ModelKey]:
        """The model version and all others that share a worker with it; empty if no worker serves it."""
        return self._beside.get(key, frozenset())

    def capacity(self, key: ModelKey) -> OnlineCapacity:
        """Computed once in a snapshot, because every request needs it."""
        found = self._capacities.get(key)
        if found is None:
            found = self._capacities[key] = self._capacity(key)
        return found

    @cached_property
    def _capacities(self) -> dict[ModelKey, OnlineCapacity]:
        return {}

    def _capacity(self, key: ModelKey) -> OnlineCapacity:
        rates = tuple((other, rate) for other in self.beside(key) if (rate := self.rates[other]))
        return OnlineCapacity(
            holders=self.matching_holders(key),
            mismatch=self.mismatch(key),
            rows_per_s=self.rates.get(key, 0.0),
            least_call_s=self.least_call_s.get(key, 0.0),
            most_rows_per_s=self.most_rows_per_s.get(key, 0.0),
            rates=rates,
            others_s=sum(self.others_rows.get(other, 0.0) / rate for other, rate in rates),
            on_demand=self.loads(key),
        )

    @cached_property
    def entry_rows(self) -> Mapping[ModelKey, float]:
        """Mean rows of an entry by model version, as recently measured by its workers."""
        return {key: _entry_rows(key, workers) for key, workers in self.servers.items()}

    @cached_property
    def _holders(self) -> Mapping[ModelKey, int]:
        return Counter(chain.from_iterable(map(_held_by, self.workers)))

    def holders(self, key: ModelKey) -> int:
        return self._holders.get(key, 0)

    def matching_holders(self, key: ModelKey) -> int:
        """Workers with this gateway's spec and artifact: live, or, without any, expected back."""
        return self._matching_holders.get(key, 0)

    @cached_property
    def _matching_holders(self) -> Mapping[ModelKey, int]:
        return {key: sum(1 for _ in self._matching(key)) for key in self.servers}

    def serves(self, key: ModelKey) -> bool:
        """Whether requests are answered: workers hold it, or one loads it on demand."""
        return self.matching_holders(key) > 0 or self.loads(key)

    def loads(self, key: ModelKey) -> bool:
        """Whether a supervisor with this gateway's spec and artifact loads it on demand, and can now."""
        found = self.on_demand.get(key)
        return found is not None and not found.reason

    @cached_property
    def on_demand(self) -> Mapping[ModelKey, OnDemandVersion]:
        """The versions that supervisors with this gateway's spec and artifact load at the first request; of
        several, one that can."""
        found: dict[ModelKey, OnDemandVersion] = {}
        for worker in chain(self.workers, self.returning):
            for name, version in worker.on_demand.items():
                key = ModelKey(name)
                if (key not in found or found[key].reason) and not self._is_foreign(key, version):
                    found[key] = version
        return found

    def _is_foreign(self, key: ModelKey, version: OnDemandVersion) -> bool:
        own = self.identities.get(key)
        return own is not None and own.differs(version.spec_digest, version.digest)

    def mismatch(self, key: ModelKey) -> str:
        """How a worker's spec or artifact differs from this gateway's; empty: none differs."""
        return self._mismatches.get(key, "")

    @cached_property
    def _mismatches(self) -> Mapping[ModelKey, str]:
        found = {key: self._foreign(key) for key in self.held}
        return {key: _difference(key, self.identities[key], seen) for key, seen in found.items() if seen}

    def _matching(self, key: ModelKey) -> Iterator[HeldModel]:
        own = self.identities.get(key)
        return (
            model
            for model in self._serving(key)
            if own is None or not own.differs(model.spec_digest, model.digest)
        )

    def _foreign(self, key: ModelKey) -> dict[str, HeldModel]:
        """Loaded models with another spec or artifact, by worker."""
        own = self.identities.get(key)
        held = {worker.id: worker.models[key] for worker in self.workers if worker.holds(key)}
        return {
            worker: model
            for worker, model in held.items()
            if own is not None and own.differs(model.spec_digest, model.digest)
        }

    def availability(self, key: ModelKey) -> ModelAvailability:
        held = [worker.models[key] for worker in self.workers if key in worker.models]
        serving = {w.name for w in self.workers if w.state is WorkerState.SERVING and key not in w.loading}
        return ModelAvailability(
            holders=self.holders(key),
            digests=frozenset(model.digest for model in self._models(key)),
            spec_digests=frozenset(model.spec_digest for model in self._models(key)),
            loading=sum(_loads(worker, key) for worker in self.workers),
            drained=sum(_is_out(worker, key) for worker in self.workers),
            failures=tuple(model.reason for model in held if model.state is ModelState.FAILED),
            restarts=max((n - 1 for name, n in self.lives.items() if name not in serving), default=0),
            on_demand=key in self.on_demand,
            refusal=foreign_text(self.on_demand[key].reason) if key in self.on_demand else "",
        )

    def versions(self, model: str) -> set[str]:
        """The versions of a model that live workers hold."""
        return {version for name, version in map(split_model_key, self.held) if name == model}

    def _models(self, key: ModelKey) -> Iterator[HeldModel]:
        return (worker.models[key] for worker in self.workers if worker.holds(key))

    def _serving(self, key: ModelKey) -> Iterator[HeldModel]:
        return (worker.models[key] for worker in self.servers.get(key, ()))


def _difference(key: ModelKey, own: ModelIdentity, foreign: Mapping[str, HeldModel]) -> str:
    worker, model = next(iter(foreign.items()))
    theirs = in_words(model.spec_digest, model.digest)
    return f"{key}: this gateway has {own.in_words()}; worker {worker} has {theirs}. {SAME_ON_BOTH}"


def name_of(worker_id: str) -> str:
    """The worker's name: the part of the id that all its starts share, see `WorkerRecord.id`."""
    return worker_id.rpartition(":")[0]


def _loads(worker: WorkerRecord, key: ModelKey) -> bool:
    """Whether a worker does not hold a model version yet, and is going to, unless loading fails."""
    if worker.state is WorkerState.STARTING and not worker.models:
        return True  # it has not listed its models yet
    model = worker.models.get(key)
    if model is None or worker.state is WorkerState.DRAINING:
        return False
    return model.state is ModelState.LOADING or (
        worker.state is WorkerState.STARTING and model.state is ModelState.LOADED
    )


def _is_out(worker: WorkerRecord, key: ModelKey) -> bool:
    """Whether a worker holds a model version, but takes no new work."""
    model = worker.models.get(key)
    return worker.state is WorkerState.DRAINING and model is not None and model.state is ModelState.LOADED


def _held_by(worker: WorkerRecord) -> frozenset[ModelKey]:
    return frozenset(ModelKey(key) for key in worker.models if worker.holds(ModelKey(key)))


def _by_model(workers: Iterable[WorkerRecord]) -> dict[ModelKey, list[WorkerRecord]]:
    found: dict[ModelKey, list[WorkerRecord]] = {}
    for worker in workers:
        for key in _held_by(worker):
            found.setdefault(key, []).append(worker)
    return found


def _entry_rows(key: ModelKey, workers: Iterable[WorkerRecord]) -> float:
    seen = [worker.models[key].entry_rows for worker in workers]
    known = [rows for rows in seen if rows]
    return sum(known) / len(known) if known else 1.0


def _sum(rates: Iterable[float]) -> float:
    known = list(rates)
    return sum(known) if all(known) else 0.0
