"""Exponential backoff: the pause before another attempt, by the number of failures in a row."""

from __future__ import annotations

from dataclasses import dataclass

_MOST_STEPS = 64  # no overflow after many failures


@dataclass(frozen=True)
class Backoff:
    """Pauses that grow from `first_s` by `factor` up to `longest_s`.

    >>> Backoff(first_s=0.1, longest_s=2.0).pause_s(3)
    0.4
    """

    first_s: float
    longest_s: float = float("inf")
    factor: float = 2.0

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, at least 1."""
        return min(self.longest_s, self.first_s * self.factor ** min(failures - 1, _MOST_STEPS))
