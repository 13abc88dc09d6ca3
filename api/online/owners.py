"""Which owners (names of API keys) ask for predictions now, and each one's share beside the others. Pure.

An owner counts for `ASKS_S` after its last request, whether that was admitted or not: an owner that is
refused must not lose its share by that.
"""

from __future__ import annotations

ASKS_S = 10.0
LOOK_EVERY_S = 1.0
"""How often owners that ask no longer are dropped."""


class Owners:
    """The owners that one gateway sees."""

    def __init__(self) -> None:
        self._asked_s: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._sum = 0.0
        self._look_s = 0.0

    def share(self, owner: str, weight: float, now_s: float) -> float:
        """Note that an owner asks. → its part of the work, 0 to 1; exactly 1 where no other owner asks."""
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
