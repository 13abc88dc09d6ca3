"""Exponential backoff between attempts, and the delay before a process that ended is started again.

Pure: times are passed in. A process that served for `steady_s` is restarted at once, however often it is
killed. A process that ends earlier, or before it serves at all, is in a crash loop, and its delay doubles.
Each process has a history of its own, so that a crash loop delays no other process.
"""

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


DELAY = Backoff(first_s=0.2, longest_s=30.0)


@dataclass(frozen=True)
class RestartPolicy:
    """The delay before a restart, by the number of early ends in a row."""

    backoff: Backoff = DELAY
    steady_s: float = 2.0
    """A process that served this long was not started in vain."""


@dataclass(frozen=True)
class RestartHistory:
    """The unordered ends of a process.

    >>> RestartHistory().after_end(served_s=60.0).delay_s()
    0.0
    >>> RestartHistory().after_end(served_s=0.0).after_end(served_s=0.5).delay_s()
    0.4
    """

    early: int = 0
    """Ends in a row before the process had served for `RestartPolicy.steady_s`."""
    total: int = 0
    policy: RestartPolicy = RestartPolicy()

    def after_end(self, served_s: float) -> RestartHistory:
        """The history after an end. `served_s`: time since the process was ready; 0 if it never was."""
        early = 0 if served_s >= self.policy.steady_s else self.early + 1
        return RestartHistory(early, self.total + 1, self.policy)

    def delay_s(self) -> float:
        """Seconds from the last end to the next start; 0 before the first start."""
        return self.policy.backoff.pause_s(self.early) if self.early else 0.0
