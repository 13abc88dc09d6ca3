"""Keeps the leases of chunks whose payloads move.

A store that hangs, as a network's folder may, holds the thread that moves: it can renew nothing. The chunk
would go to the next worker, to hang there too, until its attempts are used up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.ledger import Claim


class LeaseKeeper:
    """Renews every `every_s` what is kept, each for `most_s` at most: after that, another may try its luck.

    `renew` is called in a thread of the keeper's own, once it was started.
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
        self._kept: dict[str, tuple[Claim, float]] = {}  # by token; since when
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
        """Renew what is kept for a while already: most payloads have moved before."""
        now_s = self._clock()
        with self._lock:
            kept = list(self._kept.values())
        for held, since_s in kept:
            if self._every_s <= now_s - since_s < self._most_s:
                self._renew(held)

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self.renew_due()
