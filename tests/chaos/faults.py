"""How a fault is brought about, on the parts of a running stack."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence

from tests.chaos.plan import Fault, Kind
from tests.chaos.supervision import Post, Process, Supervisor

_SIGNALS = {
    "SIGKILL": signal.SIGKILL,
    "SIGTERM": signal.SIGTERM,
    "SIGSTOP": signal.SIGSTOP,
}

ENDS_S = 30.0
"""How long a process may take to end. One that takes longer is looked at as it is."""


class Faults:
    """Owns nothing but the way to hurt: the supervisor starts again what ends."""

    def __init__(
        self,
        supervisor: Supervisor,
        posts: Mapping[str, Post],
        *,
        workers: Sequence[str],
        gateways: Sequence[str],
        redis: str,
    ) -> None:
        self._supervisor = supervisor
        self._posts = posts
        self._names = {"worker": workers, "gateway": gateways, "Redis": [redis]}

    def victims_of(self, fault: Fault) -> list[str]:
        if fault.kind is Kind.WORKERS_KILLED:
            return list(self._names["worker"])
        return [self._names[fault.kind.split()[0]][fault.victim]]

    def bring_about(self, fault: Fault) -> float:
        """Returns once the victims have ended, or go on. → when recovery could begin: at the signal that ends
        them, or as they went on; by the monotonic clock.
        """
        how = _SIGNALS[fault.kind.split()[-1]]
        processes = {name: self._posts[name].process for name in self.victims_of(fault)}
        if how is signal.SIGSTOP:
            return _stopped_for(fault.hold_s, list(processes.values()))
        ends = [self._supervisor.expect_end(name) for name in processes]
        begun_s = time.monotonic()
        for process in processes.values():
            process.tell(how)
        for ended in ends:
            ended.wait(ENDS_S)
        return begun_s


def _stopped_for(seconds: float, processes: Sequence[Process]) -> float:
    for process in processes:
        process.tell(signal.SIGSTOP)
    time.sleep(seconds)
    for process in processes:
        process.tell(signal.SIGCONT)
    return time.monotonic()
