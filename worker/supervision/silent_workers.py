"""Finds workers that hang: a stopped process, or one whose native code blocks every thread.

A worker touches its file with each beat, whether or not Redis answers. The watchdog inside a worker ends a
hung model call; it cannot run if the whole process is stopped. Times are monotonic. If the supervisor itself
does not run for a while, that counts as two seconds at most: after a suspended machine resumes, no worker is
killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shared.liveness_files import SILENT_MARGIN_S, id_file, silence_limit_s
from shared.settings import Settings
from worker.execution.watchdog import LOADING_LIMIT_S

LOOK_EVERY_S = 1.0
MOST_COUNTED_S = 2.0
"""The longest time between two looks that counts."""


@dataclass
class _Beat:
    changed_at_ns: int
    silent_s: float = 0.0


class SilentWorkers:
    """`changed_at_ns`: when a worker last touched its file, by any clock; None: it has none yet."""

    def __init__(self, changed_at_ns: Callable[[str], int | None], limit_s: float) -> None:
        self._changed_at_ns = changed_at_ns
        self._limit_s = limit_s
        self._beats: dict[str, _Beat] = {}
        self._looked_at_s: float | None = None

    def look(self, workers: Iterable[str], now_s: float, *, loads: bool = False) -> dict[str, float]:
        """At most once a second: → the workers that hang, and for how many seconds they have been silent.

        `loads`: they load models for themselves, which may keep them from beating for minutes.
        """
        limit_s = max(self._limit_s, LOADING_LIMIT_S + SILENT_MARGIN_S) if loads else self._limit_s
        looked_at_s = self._looked_at_s if self._looked_at_s is not None else now_s
        if now_s - looked_at_s < LOOK_EVERY_S and self._looked_at_s is not None:
            return {}
        self._looked_at_s = now_s
        passed_s = min(now_s - looked_at_s, MOST_COUNTED_S)
        found = ((worker, self._beat(worker, passed_s)) for worker in workers)
        self._beats = {worker: beat for worker, beat in found if beat is not None}
        return {worker: beat.silent_s for worker, beat in self._beats.items() if beat.silent_s >= limit_s}

    def _beat(self, worker: str, passed_s: float) -> _Beat | None:
        changed_at_ns = self._changed_at_ns(worker)
        if changed_at_ns is None:
            return None
        before = self._beats.get(worker)
        if before is None or before.changed_at_ns != changed_at_ns:
            return _Beat(changed_at_ns)
        return _Beat(changed_at_ns, before.silent_s + passed_s)


def of_files(settings: Settings) -> SilentWorkers:
    """By the files of the workers on this machine."""

    def changed_at_ns(worker: str) -> int | None:
        try:
            return id_file(settings, worker).stat().st_mtime_ns
        except OSError:
            return None

    return SilentWorkers(changed_at_ns, silence_limit_s(settings))
