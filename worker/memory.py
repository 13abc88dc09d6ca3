"""A worker's memory: how much it may take on a CPU, and what of it the collector goes through.

RLIMIT_DATA bounds what a process allocates for itself. RLIMIT_AS would count address space that is only
reserved, of which torch takes much more than it ever uses.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import psutil
import structlog

from shared.settings import Settings

log = structlog.get_logger(__name__)

_DEFAULT_SHARE = 0.8
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def limit_memory(settings: Settings) -> int | None:
    """Bound this process and what it forks. → bytes; None: no limit, on a GPU and on systems but Linux."""
    limit_bytes = settings.memory_limit_bytes
    if limit_bytes is None:
        limit_bytes = int(_available_bytes() * _DEFAULT_SHARE)
    if not limit_bytes or settings.device != "cpu" or sys.platform != "linux":
        return None
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounded = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bounded, hard))
    log.info("memory_limited", limit_bytes=bounded)
    return bounded


def leave_to_stay() -> None:
    """Tell the collector that what there is now stays: modules and models, hundreds of thousands of objects.

    Going through them took 0.15 to 0.5 s, in which no thread of the worker ran.
    """
    gc.collect()
    gc.freeze()


def _available_bytes() -> int:
    """What this machine has, or the container that this is."""
    total: int = psutil.virtual_memory().total
    for path in _CGROUP_LIMITS:
        try:
            return min(total, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # no cgroup of this version, or `max`
            continue
    return total
