"""Keeps the leases of chunks while their payloads are read or written.

A payload store that hangs, for example a network file system, blocks the chunk's thread, which then cannot
renew the lease. Without the keeper the next worker would claim the chunk and hang as well, until the chunk's
attempts are used up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.ledger import Claim


class LeaseKeeper:
    """Renews kept leases every `every_s`, each for at most `most_s`; after that another worker may claim it.

    `renew` is called in the keeper's own thread, from `start` on.
    """

    def __init__(
        self,
        renew: Callable[[Claim], object],
        *,
        every_s: float,
        most_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._renew = renew
        self._every_s = every_s
        self._most_s = most_s
        self._clock = clock
        self._kept: dict[str, tuple[Claim, float]] = {}  # by token: claim, start
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    @contextmanager
    def keeping(self, held: Claim) -> Iterator[None]:
        """Keep a chunk's lease while the block runs."""
        with self._lock:
            self._kept[held.token] = held, self._clock()
        try:
            yield
        finally:
            with self._lock:
                del self._kept[held.token]

    def renew_due(self) -> None:
        """Renew the leases that are due. Most payloads move before the first renewal."""
        now_s = self._clock()
        with self._lock:
            kept = list(self._kept.values())
        for held, since_s in kept:
            if self._every_s <= now_s - since_s < self._most_s:
                self._renew(held)

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self.renew_due()
