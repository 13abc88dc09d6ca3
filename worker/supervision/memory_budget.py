"""The memory budget of a supervisor: which versions it holds, and which make room for another. Pure.

A version counts with the memory that its verifier measured, once for all workers that share it. Versions on
demand are dropped if another needs their memory, those used least recently first:

1. versions that have been idle for `KEPT_S`
2. if these are not enough, versions that have been held for `KEPT_S` and are idle now

A version in use, or with work waiting, is kept, so that two busy models do not replace each other in turn.
"""

from __future__ import annotations

from dataclasses import dataclass

KEPT_S = 5.0
"""How long a version is kept after its loading or its last use, if others can make room."""
IN_USE_S = 1.0
"""A version that was used this recently is in use."""
MOST_NAMED = 3
"""Versions that a refusal names, the largest first."""
_MIB = 2**20


@dataclass
class _HeldModel:
    size_bytes: int
    since_s: float
    used_at_s: float


class MemoryBudget:
    """The memory of all versions that a supervisor holds. Times are monotonic."""

    def __init__(self, limit_bytes: int = 0) -> None:
        """`limit_bytes`: 0: no limit."""
        self.limit_bytes = limit_bytes
        self.loads = 0
        """Versions that got their memory."""
        self.evictions = 0
        """Versions that were dropped for others."""
        self._held: dict[str, _HeldModel] = {}

    @property
    def used_bytes(self) -> int:
        return sum(one.size_bytes for one in self._held.values())

    @property
    def held(self) -> frozenset[str]:
        return frozenset(self._held)

    def take(self, key: str, size_bytes: int, now_s: float, *, evicts: bool) -> list[str] | None:
        """Reserve memory for a version. → the versions that are dropped for it; None: there is no room.

        `evicts`: whether others may be dropped.
        """
        victims: list[str] | None = []
        if missing_bytes := self._missing_bytes(size_bytes):
            victims = self._victims(missing_bytes, now_s) if evicts else None
        if victims is None:
            return None
        for victim in victims:
            del self._held[victim]
        self.evictions += len(victims)
        self.loads += 1
        self._held[key] = _HeldModel(size_bytes, now_s, now_s)
        return victims

    def give_back(self, key: str) -> None:
        """The version is not held any more."""
        self._held.pop(key, None)

    def used(self, key: str, at_s: float) -> None:
        """The version was in use, or had work waiting."""
        if key in self._held:
            self._held[key].used_at_s = max(self._held[key].used_at_s, at_s)

    def refusal(self, key: str, size_bytes: int, *, evicts: bool) -> str:
        """Why a version does not fit, with the figures."""
        takes = f"{key} takes {_mib(size_bytes)} MiB"
        if size_bytes > self.limit_bytes:
            whole = f"{takes}, more than the memory budget of {_mib(self.limit_bytes)} MiB"
            return f"{whole}. Raise TAKT_MODELS_MEMORY_BYTES."
        used = f"{_mib(self.used_bytes)} of {_mib(self.limit_bytes)} MiB are in use by {self._largest()}"
        busy = ", which serve requests or jobs now" if evicts else ""
        return f"{takes}; {used}{busy}. Raise TAKT_MODELS_MEMORY_BYTES, or remove versions."

    def _largest(self) -> str:
        sizes = {key: one.size_bytes for key, one in self._held.items()}
        named = sorted(sizes, key=lambda key: -sizes[key])[:MOST_NAMED]
        texts = [f"{key} ({_mib(sizes[key])} MiB)" for key in named]
        return ", ".join([*texts, *([f"{more} more"] if (more := len(sizes) - len(named)) else [])])

    def _missing_bytes(self, size_bytes: int) -> int:
        return max(0, self.used_bytes + size_bytes - self.limit_bytes) if self.limit_bytes else 0

    def _victims(self, missing_bytes: int, now_s: float) -> list[str] | None:
        """The versions that make room; None: they are too small or in use."""
        idle = {key: one for key, one in self._held.items() if now_s - one.used_at_s >= KEPT_S}
        resting = {
            key: one
            for key, one in self._held.items()
            if key not in idle and now_s - one.since_s >= KEPT_S and now_s - one.used_at_s >= IN_USE_S
        }
        found: list[str] = []
        for key in [*_by_use(idle), *_by_use(resting)]:
            found.append(key)
            missing_bytes -= self._held[key].size_bytes
            if missing_bytes <= 0:
                return found
        return None


def _by_use(held: dict[str, _HeldModel]) -> list[str]:
    """The least recently used first."""
    return sorted(held, key=lambda key: held[key].used_at_s)


def _mib(size_bytes: int) -> str:
    mebibytes = size_bytes / _MIB
    return f"{mebibytes:.0f}" if mebibytes >= 10 else f"{mebibytes:.1f}"
