"""Injection of faults into the parts of a running stack."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence

from tests.chaos.plan import Fault, Kind
from tests.chaos.supervision import Post, Process, Supervisor

_SIGNALS = {
    "SIGKILL": signal.SIGKILL,
    "SIGTERM": signal.SIGTERM,
    "SIGSTOP": signal.SIGSTOP,
}

_INSIDE = {
    Kind.WORKER_KILLED: "takt-worker",
    Kind.WORKERS_KILLED: "takt-worker",
    Kind.FORK_SERVER_KILLED: "takt-forkserver",
}
"""Processes that Takt's own supervisor restarts, by their names."""

ENDS_S = 30.0
"""Time limit for the end of a process; after it, the run continues without waiting."""


class Faults:
    """Injects faults only; the supervisor restarts processes."""

    def __init__(
        self,
        supervisor: Supervisor,
        posts: Mapping[str, Post],
        *,
        workers: Sequence[str],
        gateways: Sequence[str],
        redis: str,
        coordinator: Callable[[], str],
        tell_alone: Callable[[str, signal.Signals], None],
        tell_inside: Callable[[str, str, signal.Signals], None],
    ) -> None:
        """`coordinator`: the gateway that carries out a change of the deployment. `tell_alone` sends a
        signal only to a program, and `tell_inside` to the processes of a name in it."""
        self._supervisor = supervisor
        self._posts = posts
        self._workers = workers
        self._coordinator = coordinator
        self._tell_alone = tell_alone
        self._tell_inside = tell_inside
        self._names = {"gateway": gateways, "Redis": [redis]}

    def victims_of(self, fault: Fault) -> list[str]:
        if fault.kind is Kind.WORKERS_KILLED:
            return list(self._workers)
        if fault.kind is Kind.COORDINATOR_KILLED:
            return [self._coordinator()]
        return [self._names.get(fault.kind.split()[0], self._workers)[fault.victim]]

    def bring_about(self, fault: Fault, victims: Sequence[str]) -> float:
        """Wait until the victims have ended or resumed. Returns the monotonic time at which recovery could
        begin: that of the ending signal, or of the resumption.
        """
        how = _SIGNALS[fault.kind.split()[-1]]
        processes = {name: self._posts[name].process for name in victims}
        if how is signal.SIGSTOP:
            return _stopped_for(fault.hold_s, list(processes.values()))
        if inside := _INSIDE.get(fault.kind):
            begun_s = time.monotonic()
            for program in processes:
                self._tell_inside(program, inside, how)
            return begun_s
        ends = [self._supervisor.expect_end(name) for name in processes]
        begun_s = time.monotonic()
        for name, process in processes.items():
            if fault.kind is Kind.SUPERVISOR_KILLED:
                self._tell_alone(name, how)
            else:
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
