"""The observed facts from which conditions are decided. `None` means: not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from shared.deployments import Deployment
from shared.history import SlotCounts
from shared.keys import ModelKey
from shared.lanes import Lanes
from shared.worker_records import WorkerRecord


@dataclass(frozen=True)
class RedisFacts:
    """Redis, and the facts that are stored in it."""

    memory_used_bytes: int = 0
    memory_limit_bytes: int = 0  # 0: none
    log_ok: bool = True
    has_log: bool = True
    evicts: bool = False
    latency_s: float = 0.0
    refuses: str = ""  # the reason why it refuses writes; empty: it accepts them
    dead_letters: int = 0
    waiting_webhooks: int = 0
    failing_webhooks: int = 0  # of these, with an attempt that failed
    damaged_objects: int = 0  # found in the last day
    damaged_job: str = ""  # the latest


@dataclass(frozen=True)
class StoreFacts:
    """The payload store."""

    free_bytes: int | None = None
    limit_bytes: int | None = None
    error: str = ""  # why it does not answer


@dataclass(frozen=True)
class GatewayFacts:
    """The gateway that gathered the facts, and the other known gateways."""

    name: str = ""
    stopping: bool = False
    default_model: str = ""  # key of the default model version; empty: none is declared
    serves_default: bool = True
    clock_offset_s: float = 0.0  # its clock less that of Redis
    silent: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Seconds since the last sign of life of each gateway that did not stop in order."""
    wrong_specs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


SlotsByModel: TypeAlias = Mapping[ModelKey, SlotCounts]


@dataclass(frozen=True)
class StatusFacts:
    """Everything that a gateway observed at a moment."""

    now_ms: int
    redis: RedisFacts | None = None  # None: it does not answer, and nothing below is known
    redis_error: str = ""  # why it does not answer
    gateway: GatewayFacts = GatewayFacts()
    store: StoreFacts = StoreFacts()
    workers: Sequence[WorkerRecord] = ()
    silent_workers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Name → ms of the last heartbeat, of workers that neither live nor stopped in order."""
    starts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Worker name → starts with a heartbeat within about a minute."""
    stuck: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Worker name → seconds without progress in its current work."""
    wanted: Sequence[ModelKey] = ()
    """The model versions that requests without a version use."""
    lanes: Lanes = field(default_factory=Lanes)
    five_minutes: SlotsByModel = field(default_factory=lambda: MappingProxyType({}))
    quarter_hour: SlotsByModel = field(default_factory=lambda: MappingProxyType({}))
    failed_jobs: Mapping[ModelKey, int] = field(default_factory=Counter)
    """Jobs that failed in this hour or the hour before."""
    deployments: Sequence[Deployment] = ()
