"""Memory of a worker: its limit on a CPU, and the objects that the garbage collector skips.

The limit is RLIMIT_DATA, which counts memory that the process allocates. RLIMIT_AS would also count reserved
address space, of which torch reserves much more than it uses.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import structlog

from shared.settings import Settings

log = structlog.get_logger(__name__)

_DEFAULT_SHARE = 0.8
_ON_DEMAND_SHARE = 0.4
"""While versions are dropped, those that stay are in memory twice for some seconds."""
_CGROUP_USES = (Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"))
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def limit_memory(settings: Settings, *, free: bool = False) -> int | None:
    """Limit the memory of this process and its forks. → the limit in bytes; None: no limit (on a GPU, and
    on systems other than Linux).

    `free`: also to what it has now and a share of the memory that is free now, so that it takes none from
    the other processes.
    """
    limit_bytes = settings.memory_limit_bytes
    if limit_bytes is None:
        limit_bytes = int(_available_bytes() * _DEFAULT_SHARE)
    if limit_bytes and free:
        limit_bytes = min(limit_bytes, _data_bytes() + int(_free_bytes() * _DEFAULT_SHARE))
    if not limit_bytes or settings.device != "cpu" or sys.platform != "linux":
        return None
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounded = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bounded, hard))
    log.info("memory_limited", limit_bytes=bounded)
    return bounded


def models_budget_bytes(settings: Settings) -> int:
    """The memory budget of the versions that a supervisor holds; 0: no limit."""
    if settings.models_memory_bytes is not None:
        return settings.models_memory_bytes
    share = _ON_DEMAND_SHARE if settings.models_on_demand else _DEFAULT_SHARE
    return int(_available_bytes() * share)


def leave_to_stay() -> None:
    """Exclude all current objects (modules and models, hundreds of thousands) from garbage collection.

    A collection over them took 0.15 to 0.5 s, during which no thread of the worker ran.
    """
    gc.collect()
    gc.freeze()


def _available_bytes() -> int:
    """The memory of this machine, or the limit of this container."""
    total: int = psutil.virtual_memory().total
    return min(total, _first_number(_CGROUP_LIMITS, total))


def _free_bytes() -> int:
    """The memory that is free in this machine, or in this container."""
    free: int = psutil.virtual_memory().available
    limit_bytes = _first_number(_CGROUP_LIMITS, 0)
    return max(0, min(free, limit_bytes - _first_number(_CGROUP_USES, 0))) if limit_bytes else free


def _data_bytes() -> int:
    """The memory of this process that its limit counts."""
    data: int = psutil.Process().memory_info().data
    return data


def _first_number(paths: Sequence[Path], default: int) -> int:
    for path in paths:
        try:
            return int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):  # no cgroup of this version, or `max`
            continue
    return default
