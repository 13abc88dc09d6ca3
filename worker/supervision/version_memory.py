"""Memory of a group's versions: reserves it for those that a verifier has measured, and drops others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog

from shared.worker_records import ModelsMemory
from worker.control.control_messages import VersionReport
from worker.supervision.memory_budget import KEPT_S, MemoryBudget
from worker.supervision.version_stages import Version, VersionStage, WantedVersions

log = structlog.get_logger(__name__)

ASKED_S = 5.0
"""How long a version on demand waits for memory after the last look that found work for it."""


class VersionMemory:
    """`budget` is that of all groups; `copies`: workers that load a version for themselves if it cannot be
    shared."""

    def __init__(self, versions: WantedVersions, budget: MemoryBudget, *, copies: int) -> None:
        self._versions = versions
        self._budget = budget
        self._copies = copies

    @property
    def facts(self) -> ModelsMemory:
        budget = self._budget
        return ModelsMemory(
            used_bytes=budget.used_bytes,
            limit_bytes=budget.limit_bytes,
            loads=budget.loads,
            evictions=budget.evictions,
            on_demand=self._versions.declared(),
        )

    def tend(self, now_s: float) -> set[str]:
        """Reserve memory for the versions that wait for it. → the dropped versions of this group."""
        for version in self._versions.measured():
            if self._versions.on_demand and now_s - version.asked_at_s > ASKED_S:
                self._versions.drop(version.key)  # its requests have ended
            else:
                self._place(version, now_s)
        return self._dropped()

    def give_back(self, keys: Iterable[str]) -> None:
        """These versions are not held any more."""
        for key in keys:
            self._budget.give_back(key)

    def measured(self, version: Version, own_copy: str, report: VersionReport | None = None) -> None:
        """A version is verified, and gets memory once there is room. `own_copy`: why each worker loads it for
        itself."""
        if own_copy:
            log.warning("model_not_shared", model=version.key, reason=own_copy)
        self._budget.give_back(version.key)
        version.own_copy = own_copy
        self._versions.take(version.key, VersionStage.MEASURED, report=report)

    def demanded(self, used: Mapping[str, float], asked: Iterable[str], now_s: float) -> None:
        """What a worker has seen: versions in use, with the seconds since then, and versions with work that
        no worker holds."""
        for key, since_s in [*used.items(), *((key, 0.0) for key in asked)]:
            self._budget.used(key, now_s - since_s)
        for key in asked:
            self._versions.ask(key, now_s)

    def _place(self, version: Version, now_s: float) -> None:
        evicts = self._versions.on_demand
        size_bytes = self._size_bytes(version)
        victims = self._budget.take(version.key, size_bytes, now_s, evicts=evicts)
        if victims is None:
            self._refuse(version, size_bytes, now_s)
            return
        for victim in victims:
            log.info("model_dropped", model=victim, meaning="least recently used", room_for=version.key)
        stage = VersionStage.OWN if version.own_copy else VersionStage.VERIFIED
        self._versions.take(version.key, stage, reason=version.own_copy)

    def _refuse(self, version: Version, size_bytes: int, now_s: float) -> None:
        """It waits on: memory may become free. On demand, versions in use may be idle within seconds."""
        on_demand, fits_alone = self._versions.on_demand, size_bytes <= self._budget.limit_bytes
        if on_demand and fits_alone and now_s - version.asked_since_s <= KEPT_S:
            return
        reason = self._budget.refusal(version.key, size_bytes, evicts=on_demand)
        if not version.reason:
            log.error("model_refused", model=version.key, reason=reason)
        version.reason = reason
        if on_demand and not fits_alone:
            self._versions.take(version.key, VersionStage.FAILED, reason=reason)

    def _size_bytes(self, version: Version) -> int:
        measured = version.report.memory_bytes if version.report else 0
        return measured * (self._copies if version.own_copy else 1)

    def _dropped(self) -> set[str]:
        """A group may drop the versions of another."""
        if not self._versions.on_demand:
            return set()
        placed = [*(one.key for one in self._versions.verified()), *self._versions.own()]
        dropped = set(placed) - self._budget.held
        for key in dropped:
            self._versions.drop(key)
        return dropped
