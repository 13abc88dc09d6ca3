"""Restart of crashed services: exponential backoff, reset after a stable run."""

from __future__ import annotations

from dataclasses import dataclass

from shared.backoff import Backoff


@dataclass(frozen=True)
class RestartBackoff(Backoff):
    """The pause before a restart."""

    first_s: float = 0.2
    longest_s: float = 30.0
    stable_s: float = 60.0  # a run of this length resets the backoff


@dataclass(frozen=True)
class Crashes:
    """The crashes of a service."""

    in_row: int = 0  # without a stable run in between
    total: int = 0

    def after(self, lived_s: float, backoff: RestartBackoff) -> Crashes:
        """Returns the count after a crash that ended a run of `lived_s`."""
        in_row = 1 if lived_s >= backoff.stable_s else self.in_row + 1
        return Crashes(in_row, self.total + 1)

    def pause_s(self, backoff: Backoff) -> float:
        """Returns the pause before the next start; 0 before the first start."""
        return backoff.pause_s(self.in_row) if self.in_row else 0.0
