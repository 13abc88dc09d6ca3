"""Whose turn it is: how one engine shares its time between the two lanes. Pure; the clock is passed in.

Online work goes first, but while chunks wait it gets at most 90 % of the engine's time over a second.
Offline slices are short while online requests arrive, and long otherwise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

ONLINE_SHARE = 0.9
WINDOW_S = 1.0
SHORT_SLICE_S = 0.003
LONG_SLICE_S = 0.075


class Turn(Enum):
    ONLINE = "online"
    OFFLINE = "offline"
    WAIT = "wait"


@dataclass
class Share:
    """How much of the last second the engine gave to online batches. Owned by the engine."""

    _spent: deque[tuple[float, float]] = field(default_factory=deque)  # (end, seconds) of online turns
    _total_s: float = 0.0
    _last_online_s: float = float("-inf")

    def online_ran(self, now_s: float, took_s: float) -> None:
        self._spent.append((now_s, took_s))
        self._total_s += took_s
        self._last_online_s = now_s

    def next_turn(self, now_s: float, *, online: bool, offline: bool) -> Turn:
        """Whose turn it is, given which lanes have work."""
        if online and offline:
            return Turn.ONLINE if self._online_s(now_s) < ONLINE_SHARE * WINDOW_S else Turn.OFFLINE
        if online:
            return Turn.ONLINE
        return Turn.OFFLINE if offline else Turn.WAIT

    def slice_s(self, now_s: float) -> float:
        """How long the next offline slice should take, in seconds."""
        return SHORT_SLICE_S if now_s - self._last_online_s < WINDOW_S else LONG_SLICE_S

    def _online_s(self, now_s: float) -> float:
        while self._spent and self._spent[0][0] <= now_s - WINDOW_S:
            self._total_s -= self._spent.popleft()[1]
        return self._total_s


def slice_rows(seconds: float, rows_per_s: float, *, least: int, most: int) -> int:
    """Rows of the next slice: what fits into `seconds`, never less than one call of `least` rows."""
    return max(least, min(most, int(seconds * rows_per_s)))
