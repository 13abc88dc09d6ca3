"""Decides which lane runs next, so that both share the engine. Pure; the clock is passed in.

If both lanes have work, online runs first, and jobs are guaranteed 10 % of engine time. Offline slices are
short while online requests arrive, and long otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

ONLINE_SHARE = 0.9
QUIET_S = 1.0
"""Slices become long after this time without an online batch."""
SHORT_SLICE_S = 0.012
LONG_SLICE_S = 0.075
_LONGER = 2.0


class NextLane(Enum):
    ONLINE = "online"
    OFFLINE = "offline"
    WAIT = "wait"


@dataclass
class LaneScheduler:
    """The engine time of each lane, and the time owed to the offline lane. Owned by the engine."""

    online_s: float = 0.0
    offline_s: float = 0.0
    _owed_s: float = 0.0
    _chunks_wait: bool = False
    _online_waits: bool = False
    _last_online_s: float = float("-inf")

    def next_turn(self, *, online: bool, offline: bool) -> NextLane:
        """The lane to run next, given which lanes have work."""
        self._online_waits, self._chunks_wait = online, offline
        if not offline:
            self._owed_s = 0.0
            return NextLane.ONLINE if online else NextLane.WAIT
        return NextLane.ONLINE if online and self._owed_s <= 0 else NextLane.OFFLINE

    def online_ran(self, now_s: float, took_s: float) -> None:
        self.online_s += took_s
        self._last_online_s = now_s
        if self._chunks_wait:
            self._owed_s += took_s * (1 - ONLINE_SHARE) / ONLINE_SHARE

    def offline_ran(self, took_s: float) -> None:
        self.offline_s += took_s
        if self._online_waits:  # otherwise the offline lane used idle time
            self._owed_s -= took_s

    def slice_s(self, now_s: float) -> float:
        """Target duration of the next offline slice, in seconds."""
        return SHORT_SLICE_S if now_s - self._last_online_s < QUIET_S else LONG_SLICE_S


def least_slice_rows(rates: Mapping[int, float], batch_rows: int) -> int:
    """The least rows of a slice: the largest call that takes at most twice as long as a full batch.

    In many models the overhead of a call dominates small calls, so further rows are nearly free: smaller
    slices would slow jobs down and hardly shorten the wait of online requests. `rates`: rows/s by rows of a
    call.
    """
    if not rates.get(batch_rows):
        return batch_rows
    limit_s = _LONGER * batch_rows / rates[batch_rows]
    return max(rows for rows, rate in rates.items() if rows >= batch_rows and rows <= rate * limit_s)


def slice_rows(seconds: float, rows_per_s: float, *, least: int, most: int) -> int:
    """Rows of the next slice: as many as run in `seconds`, at least `least` and at most `most`."""
    return max(least, min(most, int(seconds * rows_per_s)))
