"""Both loads: predictions, and jobs with their idempotency keys and times of acknowledgement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx

ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
_VALUES = [5.1, 3.5, 1.4, 0.2]
_HEAD = ",".join(ROW) + "\n"
_LINE = ",".join(map(str, _VALUES)) + "\n"
LIMIT_S = 10.0


@dataclass(frozen=True)
class Accepted:
    """A job answered with 202."""

    id: str
    key: str
    rows: int
    at_s: float  # time.monotonic()


@dataclass
class Loads:
    """Threads that send requests to a gateway until `stop`."""

    url: str
    prefix: str  # of keys
    accepted: list[Accepted] = field(default_factory=list)
    predictions: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        works = [self._predict, self._predict, lambda: self._submit(1), lambda: self._submit(2500)]
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self) -> None:
        """Stop the threads; calls to an ended stack fail at once."""
        for thread in self._threads:
            thread.join(LIMIT_S + 5)

    def _predict(self) -> None:
        def call(http: httpx.Client) -> None:
            self.predictions += http.post("/predict", json=ROW).is_success

        self._loop(call, 0.005)

    def _submit(self, rows: int) -> None:
        def call(http: httpx.Client) -> None:
            key = f"{self.prefix}-{rows}-{len(self.accepted)}-{time.monotonic_ns()}"
            answer = submit(http, rows, key)
            if answer.status_code == httpx.codes.ACCEPTED:
                self.accepted.append(Accepted(answer.json()["id"], key, rows, time.monotonic()))

        self._loop(call, 0.02)

    def _loop(self, call: Callable[[httpx.Client], None], pause_s: float) -> None:
        with httpx.Client(base_url=self.url, timeout=LIMIT_S, verify=False) as http:
            while not self._stopping.wait(pause_s):
                with suppress(httpx.HTTPError):  # the cut
                    call(http)


def submit(http: httpx.Client, rows: int, key: str) -> httpx.Response:
    """Number of rows: a single row is stored in the queue, several in the payload store."""
    headers = {"Idempotency-Key": key}
    if rows == 1:
        return http.post("/jobs", json={"model": "iris", "inputs": [_VALUES]}, headers=headers)
    text = _HEAD + _LINE * rows
    headers["Content-Type"] = "text/csv"
    return http.post("/jobs?model=iris", content=text.encode(), headers=headers)
