"""Decides what is wrong with workers: none serves, silent, restarted, stuck, a wrong clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from shared.conditions.facts import StatusFacts
from shared.conditions.records import Condition, Parameter
from shared.worker_records import LastExit, SupervisorFacts, WorkerRecord, WorkerState

RECENT_EXITS_S = 300.0
LOOP_EXITS = 3
"""So many unordered ends in that time are a crash loop."""
RESTART_SHOWN_S = 60.0
STUCK_S = 10.0
SUPERVISOR_SILENT_S = 3.0
"""A supervisor, which waits for nothing, gives a sign of life every second."""
MOST_WORKER_CLOCK_DIFFERENCE_S = 5.0


def of_workers(facts: StatusFacts) -> Iterator[Condition]:
    yield from _of_capacity(facts)
    yield from _of_silence(facts)
    yield from _of_restarts(facts)
    for name, seconds in facts.stuck.items():
        if seconds >= STUCK_S:
            work = next((worker.current for worker in facts.workers if worker.name == name), "")
            yield Condition("worker_stuck", name, {"work": work, "seconds": round(seconds)})
    for host, offset_s in sorted(_clock_offsets(facts.workers).items()):
        if abs(offset_s) > MOST_WORKER_CLOCK_DIFFERENCE_S:
            yield Condition("clock_off", f"host {host}", {"seconds": round(abs(offset_s))})


def supervisor_of(worker_name: str) -> str:
    """`w1/0` → `w1`"""
    return worker_name.rpartition("/")[0] or worker_name


def _of_capacity(facts: StatusFacts) -> Iterator[Condition]:
    """Whether any worker serves."""
    states = [worker.state for worker in facts.workers]
    if not states:
        yield Condition("no_worker", "", {"last": _last_seen(facts)})
    elif WorkerState.SERVING in states:
        return
    elif WorkerState.STARTING in states:
        yield Condition("workers_starting")
    else:
        yield Condition("workers_drained", "", {"count": len(states)})


def _last_seen(facts: StatusFacts) -> str:
    if not facts.silent_workers:
        return ""
    name, at_ms = max(facts.silent_workers.items(), key=lambda item: item[1])
    return f" The last was {name}, {_seconds_since(at_ms, facts.now_ms)} s ago."


def _of_silence(facts: StatusFacts) -> Iterator[Condition]:
    """Workers of one supervisor usually fall silent together: they are reported as one."""
    silent: dict[str, list[int]] = defaultdict(list)
    for name, at_ms in facts.silent_workers.items():
        silent[supervisor_of(name)].append(at_ms)
    for supervisor, times in sorted(silent.items()):
        seconds = _seconds_since(min(times), facts.now_ms)
        yield Condition("worker_silent", supervisor, {"count": len(times), "seconds": seconds})


def recent_restarts(facts: StatusFacts) -> int:
    """Restarts of workers in the last five minutes."""
    return sum(map(len, _recent_exits(facts).values())) + sum(_whole_restarts(facts).values())


def _recent_exits(facts: StatusFacts) -> dict[str, list[LastExit]]:
    """Unordered ends of the last five minutes, by supervisor."""
    return {
        name: [one for one in exits_of(supervisor) if _age_s(one, facts) <= RECENT_EXITS_S]
        for name, supervisor in _supervisors(facts.workers).items()
    }


def _of_restarts(facts: StatusFacts) -> Iterator[Condition]:
    seen = _recent_exits(facts)
    for name, supervisor in _supervisors(facts.workers).items():
        if problem := _impairment(supervisor):
            yield Condition("supervisor_impaired", name, {"reason": problem})
    for name, exits in sorted(seen.items()):
        if len(exits) >= LOOP_EXITS:
            yield Condition("worker_crash_loop", name, {"count": len(exits), "reason": exits[-1].reason})
        elif exits and _age_s(exits[-1], facts) <= RESTART_SHOWN_S:
            yield Condition("worker_restarted", name, restarted(exits[-1].worker, exits[-1].reason))
    for name, restarts in sorted(_whole_restarts(facts).items()):
        if restarts >= LOOP_EXITS:
            yield Condition("worker_crash_loop", name, {"count": restarts, "reason": "ended"})
        elif restarts:
            yield Condition("worker_restarted", name, restarted("the supervisor", "ended"))


def _whole_restarts(facts: StatusFacts) -> dict[str, int]:
    """Restarts of supervisors that were started again, with their workers, and so have no record of ends."""
    known = {name for name, exits in _recent_exits(facts).items() if exits}
    starts: dict[str, int] = defaultdict(int)
    for name, number in facts.starts.items():
        if (supervisor := supervisor_of(name)) not in known:
            starts[supervisor] = max(number - 1, starts[supervisor])
    return starts


def restarted(process: str, reason: str) -> dict[str, Parameter]:
    return {"process": process, "reason": reason}


def _impairment(supervisor: SupervisorFacts) -> str:
    if supervisor.silent_s > SUPERVISOR_SILENT_S:
        return f"no sign of life for {round(supervisor.silent_s)} s"
    return supervisor.problem


def exits_of(supervisor: SupervisorFacts) -> tuple[LastExit, ...]:
    """The latest unordered ends, oldest first."""
    last = (supervisor.last_exit,) if supervisor.last_exit else ()
    return supervisor.recent_exits or last


def _supervisors(workers: Iterable[WorkerRecord]) -> Mapping[str, SupervisorFacts]:
    """The newest facts of each supervisor: a worker has those of its start."""
    found: dict[str, SupervisorFacts] = {}
    for worker in workers:
        facts = worker.supervisor
        if facts and (facts.name not in found or facts.restarts > found[facts.name].restarts):
            found[facts.name] = facts
    return found


def _clock_offsets(workers: Iterable[WorkerRecord]) -> Mapping[str, float]:
    """The largest difference by host."""
    found: dict[str, float] = {}
    for worker in workers:
        found[worker.host] = max(worker.clock_offset_s, found.get(worker.host, 0.0), key=abs)
    return found


def _age_s(one: LastExit, facts: StatusFacts) -> float:
    return facts.now_ms / 1000 - datetime.fromisoformat(one.at).timestamp()


def _seconds_since(at_ms: int, now_ms: int) -> int:
    return max(0, round((now_ms - at_ms) / 1000))
