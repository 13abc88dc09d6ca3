"""The messages between supervisor, fork server, workers and verifiers. All of them run the same code, so the
messages have no schema version."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from shared.worker_records import HeldModel, ModelsMemory, Runtimes, SupervisorFacts


class WantedVersion(msgspec.Struct, frozen=True):
    """A model version that the settings and the repository name."""

    key: str
    problem: str = ""  # why it cannot be loaded, known without opening it
    fingerprint: str = ""  # changes if its files are replaced


class VersionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a verifier measured of a model version, so that others can open it without a call."""

    rates: dict[int, float]  # rows/s by rows of a call
    runtimes: Runtimes
    settled: dict[str, str | list[str] | None]  # what the native runtime found out by its calls
    load_s: float
    memory_bytes: int
    peak_bytes: int
    modules: list[str] = []  # that its calls imported, to be imported once for all forks
    own_copy: str = ""  # why each worker must open it for itself; empty: the fork server may


# -- supervisor → fork server ------------------------------------------------------------------------------


class ListVersions(msgspec.Struct, frozen=True, tag=True):
    """Read the repository."""

    deployed: dict[str, list[str]] = {}
    """Versions by model, as deployments want them; other models are served as model.toml declares them."""


class Verify(msgspec.Struct, frozen=True, tag=True):
    """Fork a verifier; its report goes to the descriptor."""

    ticket: int
    key: str
    yields: bool  # it computes at a lower priority than workers


class Open(msgspec.Struct, frozen=True, tag=True):
    """Open a verified version."""

    key: str
    report: VersionReport
    yields: bool = False  # it computes at a lower priority than workers


class StartWorker(msgspec.Struct, frozen=True, tag=True):
    """Fork a worker; the descriptor is its channel to the supervisor."""

    ticket: int


class StartSandbox(msgspec.Struct, frozen=True, tag=True):
    """Fork a sandbox; the descriptors are its tasks and its answers."""

    ticket: int
    key: str


class StartServer(msgspec.Struct, frozen=True, tag=True):
    """Fork a further fork server, which has opened nothing yet; the descriptor is its channel."""

    ticket: int


ForkOrder: TypeAlias = ListVersions | Verify | Open | StartWorker | StartSandbox | StartServer


# -- fork server → supervisor ------------------------------------------------------------------------------


class Listed(msgspec.Struct, frozen=True, tag=True):
    """The wanted versions, those expected to load fastest first."""

    versions: list[WantedVersion]
    problem: str = ""  # why the repository cannot be read
    environments: list[str] = []  # of wanted versions that other fork servers open


class Opened(msgspec.Struct, frozen=True, tag=True):
    key: str
    held: HeldModel


class NotOpened(msgspec.Struct, frozen=True, tag=True):
    key: str
    reason: str
    spoiled: bool = False  # it started threads: this fork server can no longer fork
    apart: bool = False  # its framework is not forkable: each worker opens it


class Forked(msgspec.Struct, frozen=True, tag=True):
    ticket: int
    pid: int


class NotForked(msgspec.Struct, frozen=True, tag=True):
    ticket: int
    reason: str
    unsafe: bool = False  # it has several threads: it will never fork again


ForkReply: TypeAlias = Listed | Opened | NotOpened | Forked | NotForked


# -- verifier → supervisor ---------------------------------------------------------------------------------


class VersionVerified(msgspec.Struct, frozen=True, tag=True):
    report: VersionReport


class NotVerified(msgspec.Struct, frozen=True, tag=True):
    reason: str


VerifierReply: TypeAlias = VersionVerified | NotVerified


# -- supervisor → worker -----------------------------------------------------------------------------------


class WorkerStart(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message to a worker."""

    id: str
    number: int  # among the workers of all groups of the supervisor
    supervisor: SupervisorFacts
    dead: list[str] = []  # ids of workers that have ended, whose work this one takes over
    follows: str = ""  # id of the live worker that ends once this one serves
    states: dict[str, HeldModel] = {}  # every wanted version
    own_load: str = ""  # why this worker loads its models for itself; empty: it was forked with them
    deployed: dict[str, list[str]] = {}  # as in `ListVersions`
    memory: ModelsMemory | None = None


class ModelStates(msgspec.Struct, frozen=True, tag=True):
    """The states of the wanted versions, or their memory, have changed."""

    states: dict[str, HeldModel]
    memory: ModelsMemory | None = None


class SandboxStarted(msgspec.Struct, frozen=True, tag=True):
    ticket: int
    problem: str = ""


WorkerOrder: TypeAlias = WorkerStart | ModelStates | SandboxStarted


# -- worker → supervisor -----------------------------------------------------------------------------------


class Serving(msgspec.Struct, frozen=True, tag=True):
    """The worker consumes its lanes, and has announced that."""


class SandboxWanted(msgspec.Struct, frozen=True, tag=True):
    """Start a sandbox; the descriptors are its tasks and its answers."""

    ticket: int
    key: str


class Deployed(msgspec.Struct, frozen=True, tag=True):
    """The deployments of all models, as this worker reads them."""

    versions: dict[str, list[str]]


class EnvironmentsWanted(msgspec.Struct, frozen=True, tag=True):
    """The environments of wanted versions that this worker, which is no fork, leaves to others."""

    names: list[str]


class DemandedVersions(msgspec.Struct, frozen=True, tag=True):
    """The versions on demand with work, as this worker observes them."""

    used: dict[str, float] = {}  # held here, and in use since the last message → seconds since then
    asked: list[str] = []  # held by no worker, and with requests or chunks waiting


class RestartWanted(msgspec.Struct, frozen=True, tag=True):
    """An operator wants a successor in this worker's place."""


WorkerRequest: TypeAlias = (
    Serving | SandboxWanted | Deployed | EnvironmentsWanted | DemandedVersions | RestartWanted
)
