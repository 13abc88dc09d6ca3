"""When a crashed part is started again: exponential backoff, forgiven after a stable while."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """How the pause before a restart grows: from `first_s` by `factor` up to `longest_s`."""

    first_s: float = 0.2
    factor: float = 2.0
    longest_s: float = 30.0
    stable_s: float = 60.0  # a life this long forgives the crashes before it


@dataclass(frozen=True)
class Crashes:
    """How often a part has crashed."""

    in_row: int = 0  # without a stable life between
    total: int = 0

    def after(self, lived_s: float, backoff: Backoff) -> Crashes:
        """The count once a life of `lived_s` has ended in a crash."""
        in_row = 1 if lived_s >= backoff.stable_s else self.in_row + 1
        return Crashes(in_row, self.total + 1)

    def pause_s(self, backoff: Backoff) -> float:
        """How long to wait before the next start; nothing before the first one."""
        if not self.in_row:
            return 0.0
        # the exponent is bounded, so that a month of crashes does not overflow
        return min(backoff.first_s * backoff.factor ** min(self.in_row - 1, 64), backoff.longest_s)
