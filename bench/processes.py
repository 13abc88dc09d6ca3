"""CPU time and memory of a rival's processes, by part."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psutil

REST = "rest"
"""The part of processes outside the rival's named parts."""


@dataclass(frozen=True)
class Usage:
    """Usage of a process and all its descendants: CPU seconds and bytes written to disks since their start,
    and bytes resident now."""

    cpu_s: Mapping[str, float]
    memory_bytes: Mapping[str, int]
    written_bytes: Mapping[str, int] = field(
        default_factory=dict
    )  # to disks; empty if the system does not provide it

    def cores_since(self, before: Usage, elapsed_s: float) -> dict[str, float]:
        """CPU seconds a second, by part."""
        return {
            part: max(0.0, cpu_s - before.cpu_s.get(part, 0.0)) / elapsed_s
            for part, cpu_s in self.cpu_s.items()
        }


@dataclass(frozen=True)
class Machine:
    """CPU seconds since boot: of all programs, and of this program with its loads."""

    busy_s: float
    own_s: float

    def others_since(self, before: Machine, rival_cores: float, elapsed_s: float) -> float:
        """CPU seconds a second of other programs, which disturbed the turn."""
        strangers_s = (self.busy_s - before.busy_s) - (self.own_s - before.own_s)
        return max(0.0, strangers_s / elapsed_s - rival_cores)


def machine_now() -> Machine:
    times = psutil.cpu_times()
    waiting_s = times.idle + getattr(times, "iowait", 0.0)
    counted_twice_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    own = os.times()
    return Machine(
        busy_s=sum(times) - waiting_s - counted_twice_s,
        own_s=own.user + own.system + own.children_user + own.children_system,
    )


def part_of(command: Sequence[str], parts: Mapping[str, str]) -> str:
    """The part that has a word of the command line; of a path only the last component counts."""
    words = {word.rpartition("/")[2] for word in " ".join(command).split()}
    return next((part for word, part in parts.items() if word in words), REST)


def usage_of(pid: int, parts: Mapping[str, str]) -> Usage:
    """Raises psutil.NoSuchProcess if the process itself has ended."""
    cpu_s: Counter[str] = Counter()
    memory_bytes: Counter[str] = Counter()
    written_bytes: Counter[str] = Counter()
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            part = part_of(process.cmdline(), parts)
            times = process.cpu_times()
            cpu_s[part] += times.user + times.system  # type: ignore[assignment]  # a Counter of seconds
            memory_bytes[part] += process.memory_info().rss
            if hasattr(process, "io_counters"):  # not on macOS
                written_bytes[part] += process.io_counters().write_bytes
    return Usage(cpu_s, memory_bytes, written_bytes)
