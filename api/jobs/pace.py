"""A token bucket: a burst at once, then a steady rate. Pure; the clock is passed in."""

from __future__ import annotations


class TokenBucket:
    """A bucket of `burst` tokens that refills at `per_s`."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._turns = float(burst)
        self._at_s = 0.0

    def take(self, wanted: int, now_s: float) -> int:
        """Take up to `wanted` tokens. → how many were taken: at least 1, whatever the bucket holds"""
        filled = min(float(self._burst), self._turns + (now_s - self._at_s) * self._per_s)
        taken = max(1, min(wanted, int(filled)))
        self._turns, self._at_s = max(0.0, filled - taken), now_s
        return taken

    @property
    def spent(self) -> bool:
        """Whether the bucket has no whole token."""
        return self._turns < 1
