"""The wanted model versions of a supervisor, and how far each has come. Pure.

waiting ─ verifier ─▶ measured ─ memory ─▶ verified ─ fork server opens it ─▶ open in that fork server
   │                                          └ cannot be forked: every worker loads it for itself
   └─▶ failed, with the reason; the others are not affected

A version on demand begins cold, and is cold again after it was dropped for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from shared.worker_records import HeldModel, ModelState, OnDemandVersion
from worker.control.control_messages import VersionReport, WantedVersion

MOST_STRIKES = 2
"""Fork servers that may end while they open a version before it counts as failed."""


class VersionStage(Enum):
    COLD = "cold"  # loaded at its first request
    WAITING = "waiting"  # for a verifier
    VERIFYING = "verifying"
    MEASURED = "measured"  # verified, and waits for memory
    VERIFIED = "verified"  # each fork server opens it
    OWN = "own"  # verified, but each worker loads it for itself
    FAILED = "failed"


@dataclass
class Version:
    """A wanted version."""

    key: str
    fingerprint: str
    stage: VersionStage = VersionStage.WAITING
    report: VersionReport | None = None
    reason: str = ""  # of a failure, for loading it in each worker, or for waiting for memory
    own_copy: str = ""  # why each worker loads it for itself
    strikes: int = 0
    asked_at_s: float = 0.0
    """On demand: the time at which work for it was last found."""
    asked_since_s: float = 0.0
    """On demand: since when work waits for it."""


@dataclass
class WantedVersions:
    """Every wanted version, in the order in which they are loaded."""

    on_demand: bool = False
    _versions: dict[str, Version] = field(default_factory=dict)

    def want(self, wanted: Sequence[WantedVersion]) -> set[str]:
        """Replace the wanted set. A version whose files have changed is verified anew.

        → the versions that were wanted and no longer are in this form.
        """
        before, self._versions = self._versions, {}
        for one in wanted:
            known = before.get(one.key)
            if known and known.fingerprint == one.fingerprint and not one.problem:
                self._versions[one.key] = known
            else:
                stage = VersionStage.FAILED if one.problem else self._first_stage
                self._versions[one.key] = Version(one.key, one.fingerprint, stage, reason=one.problem)
        return {key for key, version in before.items() if self._versions.get(key) is not version}

    @property
    def _first_stage(self) -> VersionStage:
        return VersionStage.COLD if self.on_demand else VersionStage.WAITING

    @property
    def keys(self) -> list[str]:
        return list(self._versions)

    def get(self, key: str) -> Version | None:
        return self._versions.get(key)

    def waiting(self) -> list[str]:
        """The versions that no verifier has yet."""
        return [key for key, version in self._versions.items() if version.stage is VersionStage.WAITING]

    def measured(self) -> list[Version]:
        """The versions that wait for memory."""
        return [version for version in self._versions.values() if version.stage is VersionStage.MEASURED]

    def ask(self, key: str, now_s: float) -> None:
        """Work waits for a version on demand: load it, unless that has begun."""
        version = self._versions.get(key)
        if version is None:
            return
        version.asked_at_s = now_s
        if version.stage is VersionStage.COLD:
            version.asked_since_s = now_s
            version.stage = VersionStage.WAITING if version.report is None else VersionStage.MEASURED

    def drop(self, key: str) -> None:
        """A version on demand is not held any more."""
        self.take(key, VersionStage.COLD)

    def verified(self) -> list[Version]:
        """The versions that every fork server opens."""
        return [version for version in self._versions.values() if version.stage is VersionStage.VERIFIED]

    def own(self) -> list[str]:
        """The versions that every worker loads for itself."""
        return [key for key, version in self._versions.items() if version.stage is VersionStage.OWN]

    def are_settled(self, opened: set[str]) -> bool:
        """Whether nothing more can be expected of a fork server that has opened these."""
        pending = (VersionStage.WAITING, VersionStage.VERIFYING)
        return not any(version.stage in pending for version in self._versions.values()) and all(
            version.key in opened for version in self.verified()
        )

    def verifying(self, key: str, fingerprint: str) -> Version | None:
        """This content of a version, if it is still wanted and its verification has no result yet."""
        version = self._versions.get(key)
        if version is None or version.fingerprint != fingerprint:
            return None
        return version if version.stage is VersionStage.VERIFYING else None

    def take(
        self, key: str, stage: VersionStage, *, reason: str = "", report: VersionReport | None = None
    ) -> bool:
        """Move a version to a stage. → False if it is no longer wanted."""
        version = self._versions.get(key)
        if version is None:
            return False
        version.stage, version.reason = stage, reason
        version.report = report or version.report
        return True

    def strike(self, key: str) -> bool:
        """A fork server ended while it opened this version. → whether the version has failed by that."""
        version = self._versions.get(key)
        if version is None:
            return False
        version.strikes += 1
        return version.strikes >= MOST_STRIKES

    def states(self, opened: dict[str, HeldModel]) -> dict[str, HeldModel]:
        """The record of every version for workers of a fork server that holds `opened`."""
        return {
            key: opened.get(key) or _state(version)
            for key, version in self._versions.items()
            if not (self.on_demand and version.stage in (VersionStage.COLD, VersionStage.MEASURED))
        }

    def declared(self) -> dict[str, OnDemandVersion]:
        """The versions that are loaded at their first request, or have been; none if all are loaded at the
        start."""
        if not self.on_demand:
            return {}
        return {
            key: _on_demand(version)
            for key, version in self._versions.items()
            if version.stage is not VersionStage.FAILED
        }


def _on_demand(version: Version) -> OnDemandVersion:
    digest, _, spec_digest = version.fingerprint.partition(" ")
    return OnDemandVersion(
        digest=digest,
        spec_digest=spec_digest,
        memory_bytes=version.report.memory_bytes if version.report else 0,
        reason=version.reason if version.stage is VersionStage.MEASURED else "",
    )


def _state(version: Version) -> HeldModel:
    match version.stage:
        case VersionStage.FAILED | VersionStage.MEASURED if version.reason:
            return HeldModel(state=ModelState.FAILED, reason=version.reason)
        case VersionStage.OWN:
            return HeldModel(state=ModelState.LOADING, own_copy=version.reason)
        case _:
            return HeldModel(state=ModelState.LOADING)
