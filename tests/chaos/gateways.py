"""The gateways for a client with retries: an unanswered request goes to the next gateway."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from takt import Takt
from takt.errors import TryLater
from takt.retries import NEVER

T = TypeVar("T")

PAUSE_S = 0.3
PATIENCE_S = 120.0
TIMEOUT_S = 20.0


class Gateways:
    """Thread-safe."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = urls
        self._clients = [Takt(url, timeout_s=TIMEOUT_S, retries=NEVER) for url in urls]
        self._turns = itertools.cycle(self._clients)
        self._lock = threading.Lock()
        self._closed = False
        self.newest = urls[0]
        """The URL that got the newest request."""

    def ask(self, act: Callable[[Takt], T], *, patience_s: float = PATIENCE_S) -> T:
        """The first gateway's answer. Raises TryLater if no gateway answered, or an error of takt.errors."""
        end_s = time.monotonic() + patience_s
        while True:
            try:
                return act(self._next())
            except TryLater as error:
                if self._closed or time.monotonic() > end_s:
                    raise
                time.sleep(min(error.retry_after_s or PAUSE_S, 2.0))

    def _next(self) -> Takt:
        if self._closed:
            raise TryLater("The run is over.")
        with self._lock:
            chosen = next(self._turns)
            self.newest = chosen.url
            return chosen

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for client in self._clients:
            client.close()
