"""Whether this process may still allocate what an upload takes.

Arrow ends the whole process if an allocation fails in its CSV parser (`Check failed` in csv/parser.cc), and a
container's kernel kills it. An upload is therefore refused, or broken off, while there is still some memory.
Reading the limits takes some tens of microseconds, once for each chunk.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from shared.errors import Overloaded

LEAST_ROOM_BYTES = 48 * 2**20
"""What an upload may take before the next look: blocks of the parser, a chunk and its copy."""
STACKS_BYTES = 112 * 2**20
"""Stacks of threads that Arrow and uploads may start: address space that counts against a process's own
limits, and is hardly ever touched."""
RETRY_AFTER_S = 5.0
_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


def require_room() -> None:
    """Raises Overloaded if less memory is left than an upload may take."""
    room_bytes = min(_rooms(), default=LEAST_ROOM_BYTES)
    if room_bytes < LEAST_ROOM_BYTES:
        raise out_of_memory()


def out_of_memory() -> Overloaded:
    """What a client is told: nothing is wrong with its request."""
    return Overloaded(
        "This gateway has too little memory left for this request.", retry_after_s=RETRY_AFTER_S
    )


def _rooms() -> Iterator[int]:
    """What is left below each limit that is known; none on systems other than Linux."""
    if sys.platform == "linux":
        yield from _rooms_of_process(_fields(_PROC / "self" / "status"))
        yield from _rooms_of_cgroup(_CGROUP)
        if (available := _fields(_PROC / "meminfo").get("MemAvailable")) is not None:
            yield available


def _rooms_of_process(used: Mapping[str, int]) -> Iterator[int]:
    """Below RLIMIT_DATA and RLIMIT_AS."""
    import resource

    for limit, name in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY and name in used:
            yield soft - used[name] - STACKS_BYTES


def _rooms_of_cgroup(folder: Path) -> Iterator[int]:
    """Below a container's limit. The page cache counts as used there, and is given back."""
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        stat = (folder / "memory.stat").read_text(encoding="ascii")
    except (OSError, ValueError):  # no cgroup of version 2, or `max`
        return
    counts = dict(line.split(" ", 1) for line in stat.splitlines())
    yield limit - used + int(counts.get("inactive_file", 0)) + int(counts.get("active_file", 0))


def _fields(path: Path) -> Mapping[str, int]:
    """The fields of a file of /proc that are sizes in kB, in bytes."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    split = (line.partition(":") for line in lines if line.endswith(" kB"))
    return {name: int(value.removesuffix(" kB")) * 1024 for name, _, value in split}
