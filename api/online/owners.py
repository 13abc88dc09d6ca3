"""The active owners (names of API keys) of predictions, and their shares. Pure.

An owner is active until `ASKS_S` after its last request, admitted or rejected: a rejection must not cost an
owner its share.
"""

from __future__ import annotations

ASKS_S = 10.0
LOOK_EVERY_S = 1.0
"""Interval between removals of inactive owners."""


class Owners:
    """The active owners of a gateway."""

    def __init__(self) -> None:
        self._asked_s: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._sum = 0.0
        self._look_s = 0.0

    def share(self, owner: str, weight: float, now_s: float) -> float:
        """Record an owner's request. → its share of the work, 0 to 1; exactly 1 if no other is active"""
        self._asked_s[owner] = now_s
        if self._weights.get(owner) != weight:
            self._weights[owner] = weight
            self._look_s = now_s
        if now_s >= self._look_s:
            self._look(now_s)
        return 1.0 if len(self._weights) == 1 else weight / self._sum

    def _look(self, now_s: float) -> None:
        self._look_s = now_s + LOOK_EVERY_S
        for owner in [owner for owner, asked_s in self._asked_s.items() if now_s - asked_s > ASKS_S]:
            del self._asked_s[owner], self._weights[owner]
        self._sum = sum(self._weights.values())
