"""A connection to a rival for consecutive calls, which verifies answers and reads their stages."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from bench.answers import Answer, is_right
from bench.results import Stages
from bench.rivals import Rival

CALL_LIMIT_S = 30.0


class NoAnswer(Exception):
    """A rival answered with an error: it is not ready, overloaded or broken."""


class WrongAnswer(Exception):
    """A rival's prediction differs from the model's, so its measurement is not comparable."""


@dataclass(frozen=True)
class Called:
    """A correct answer."""

    took_ms: float
    server_timing: str  # empty if the rival does not send it


class Caller:
    """A keep-alive connection to a rival."""

    def __init__(self, rival: Rival, port: int, body: bytes, right: Answer) -> None:
        self._rival = rival
        self._body = body
        self._right = right
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_LIMIT_S)

    def call(self) -> Called:
        """Raises NoAnswer, WrongAnswer, and OSError or http.client.HTTPException without a response."""
        begun_s = time.perf_counter()
        self._connection.request("POST", self._rival.path, self._body, dict(self._rival.headers))
        response = self._connection.getresponse()
        body = response.read()
        took_ms = (time.perf_counter() - begun_s) * 1000
        _check(self._rival, response.status, body, self._right)
        return Called(took_ms, response.headers.get("Server-Timing", ""))

    def close(self) -> None:
        self._connection.close()


def _check(rival: Rival, status: int, body: bytes, right: Answer) -> None:
    if status != 200:
        raise NoAnswer(f"{rival.name} answered {status}: {body[:200]!r}")
    try:
        answer = rival.answer(body)
    except ValueError as error:
        raise WrongAnswer(f"{rival.name}: {error}") from error
    if not is_right(answer, right):
        raise WrongAnswer(f"{rival.name} answered {answer}, but the model predicts {right}")


class Probe(threading.Thread):
    """A separate closed loop beside a load; the Server-Timing of its answers gives the time of each stage."""

    def __init__(self, caller: Caller) -> None:
        super().__init__(name="probe", daemon=True)
        self._caller = caller
        self._enough = threading.Event()
        self._error: Exception | None = None
        self.calls: list[Called] = []

    def run(self) -> None:
        try:
            while not self._enough.is_set():
                self.calls.append(self._caller.call())
        except (NoAnswer, WrongAnswer, OSError, http.client.HTTPException) as error:
            self._error = error
        finally:
            self._caller.close()

    def end(self) -> list[Called]:
        """Stop, and return the answers. Raises the error that ended the probe early."""
        self._enough.set()
        self.join(CALL_LIMIT_S)
        if self._error is not None:
            raise self._error
        return self.calls


# -- Server-Timing -----------------------------------------------------------------------------------------


def stage_times(server_timing: str) -> dict[str, float]:
    """ms by stage, from a Server-Timing header (https://www.w3.org/TR/server-timing/)."""
    found = re.findall(r'(\w+)(?:;desc="[^"]*")?;dur=([\d.]+)', server_timing)
    return {name: float(ms) for name, ms in found}


def batch_rows(server_timing: str) -> int:
    """Rows of the batch that contained the request; 0 if the header lacks the number."""
    found = re.search(r'desc="rows=(\d+)"', server_timing)
    return int(found[1]) if found else 0


def stages_of(model: str, rival: str, connections: int, calls: list[Called]) -> Stages | None:
    """Means over the calls; None if no call has stages."""
    timed = [call for call in calls if call.server_timing]
    if not timed:
        return None
    times: list[Mapping[str, float]] = [stage_times(call.server_timing) for call in timed]
    return Stages(
        model=model,
        rival=rival,
        connections=connections,
        answers=len(timed),
        whole_ms=fmean(call.took_ms for call in timed),
        batch_rows=fmean(batch_rows(call.server_timing) for call in timed),
        stages_ms={name: fmean(one.get(name, 0.0) for one in times) for name in times[0]},
    )
