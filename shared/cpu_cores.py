"""The cores that this process may use, and the number of workers that follows from it."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """By the affinity of this process and the limit of its container, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no limit, or no cgroup of this version
        quota, period = _CGROUP_QUOTA.read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)


def default_workers(device: str, cores: int, gateways: int = 1) -> int:
    """The cores that gateways leave, because the queue uses little of one; on a GPU, 1."""
    return 1 if device != "cpu" else max(1, cores - gateways)
