"""When workers are replaced because more or other model versions are open. Pure: times are passed in.

At the start, versions become open in sequence. Replacing the workers after each would cost more than
it gains, and waiting for the last would keep the first from being served. So workers are replaced at once if
no further version is expected, otherwise after a pause in which none became open, and at the latest after a
few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

PAUSE_S = 2.0
LONGEST_S = 10.0


@dataclass
class WorkerReplacement:
    """Decides when the content of the fork server becomes the content that workers are to have."""

    target: frozenset[str] | None = None
    """The content of workers; None: no worker has been due yet."""
    _seen: frozenset[str] | None = None
    _first_change_s: float = 0.0
    _last_change_s: float = 0.0

    def look(self, content: frozenset[str], now_s: float, *, settled: bool) -> bool:
        """Compare with what the fork server holds now. → whether workers with it are due from now on."""
        if content == self.target:
            self._seen = content
            return False
        if content != self._seen:
            is_first = self._seen is None or self._seen == self.target
            self._first_change_s = now_s if is_first else self._first_change_s
            self._seen, self._last_change_s = content, now_s
        rested = now_s - self._last_change_s >= PAUSE_S or now_s - self._first_change_s >= LONGEST_S
        if settled or rested:
            self.target = content
            return True
        return False
