"""Checks that this process has enough memory left for an upload.

Arrow aborts the process if an allocation fails in its CSV parser (`Check failed` in csv/parser.cc), and the
kernel kills a container at its limit. An upload is therefore rejected or aborted before memory runs out.
Reading the limits takes some tens of microseconds per chunk.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from shared.errors import OverloadedError

LEAST_ROOM_BYTES = 48 * 2**20
"""Memory that an upload may use until the next check: parser blocks, a chunk and its copy."""
STACKS_BYTES = 112 * 2**20
"""Stacks of threads that Arrow and uploads may start: address space that counts against the process limits
but is rarely used."""
RETRY_AFTER_S = 5.0
_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


def require_room() -> None:
    """Raises Overloaded if less memory is left than an upload may use."""
    room_bytes = min(_rooms(), default=LEAST_ROOM_BYTES)
    if room_bytes < LEAST_ROOM_BYTES:
        raise out_of_memory()


def out_of_memory() -> OverloadedError:
    """Returns the error for a valid request that does not fit into memory."""
    return OverloadedError(
        "This gateway has too little memory left for this request.", retry_after_s=RETRY_AFTER_S
    )


def _rooms() -> Iterator[int]:
    """Yields the memory left below each known limit; nothing on systems other than Linux."""
    if sys.platform == "linux":
        yield from _rooms_of_process(_fields(_PROC / "self" / "status"))
        yield from _rooms_of_cgroup(_CGROUP)
        if (available := _fields(_PROC / "meminfo").get("MemAvailable")) is not None:
            yield available


def _rooms_of_process(used: Mapping[str, int]) -> Iterator[int]:
    """Yields the memory left below RLIMIT_DATA and RLIMIT_AS."""
    import resource

    for limit, name in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY and name in used:
            yield soft - used[name] - STACKS_BYTES


def _rooms_of_cgroup(folder: Path) -> Iterator[int]:
    """Yields the memory left below a container's limit. The page cache is reclaimable and counts as free."""
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        stat = (folder / "memory.stat").read_text(encoding="ascii")
    except (OSError, ValueError):  # no cgroup v2, or no limit (`max`)
        return
    counts = dict(line.split(" ", 1) for line in stat.splitlines())
    yield limit - used + int(counts.get("inactive_file", 0)) + int(counts.get("active_file", 0))


def _fields(path: Path) -> Mapping[str, int]:
    """Returns the size fields of a /proc file, converted from kB to bytes."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    split = (line.partition(":") for line in lines if line.endswith(" kB"))
    return {name: int(value.removesuffix(" kB")) * 1024 for name, _, value in split}
