"""The wanted model versions of a supervisor, and how far each has come. Pure.

waiting ─ verifier ─▶ verified ─ fork server opens it ─▶ open in that fork server
   │                     └ cannot be forked: every worker loads it for itself
   └─▶ failed, with the reason; the others are not affected
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from shared.worker_records import HeldModel, ModelState
from worker.control.control_messages import VersionReport, WantedVersion

MOST_STRIKES = 2
"""Fork servers that may end while they open a version before it counts as failed."""


class VersionStage(Enum):
    WAITING = "waiting"  # for a verifier
    VERIFYING = "verifying"
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
    reason: str = ""  # of a failure, or for loading it in each worker
    strikes: int = 0


@dataclass
class WantedVersions:
    """Every wanted version, in the order in which they are loaded."""

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
                stage = VersionStage.FAILED if one.problem else VersionStage.WAITING
                self._versions[one.key] = Version(one.key, one.fingerprint, stage, reason=one.problem)
        return {key for key, version in before.items() if self._versions.get(key) is not version}

    def get(self, key: str) -> Version | None:
        return self._versions.get(key)

    def waiting(self) -> list[str]:
        """The versions that no verifier has yet."""
        return [key for key, version in self._versions.items() if version.stage is VersionStage.WAITING]

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
        if version.strikes < MOST_STRIKES:
            return False
        version.stage = VersionStage.FAILED
        version.reason = f"{version.strikes} fork servers ended while they opened it"
        return True

    def states(self, opened: dict[str, HeldModel]) -> dict[str, HeldModel]:
        """The record of every version for workers of a fork server that holds `opened`."""
        return {key: opened.get(key) or _state(version) for key, version in self._versions.items()}


def _state(version: Version) -> HeldModel:
    match version.stage:
        case VersionStage.FAILED:
            return HeldModel(state=ModelState.FAILED, reason=version.reason)
        case VersionStage.OWN:
            return HeldModel(state=ModelState.LOADING, own_copy=version.reason)
        case _:
            return HeldModel(state=ModelState.LOADING)
