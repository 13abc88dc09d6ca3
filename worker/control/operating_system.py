"""What a process of a worker machine asks of its operating system. Linux only; elsewhere nothing happens."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from enum import IntEnum
from pathlib import Path
from typing import TypeVar

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_SELF = Path("/proc/self")
_MOST_OOM_SCORE = 1000
_THREAD_ENDS_S = 0.001
T = TypeVar("T")
NICE = 10
"""Added to the priority of a verifier, so that its computing yields to the workers."""


class OomOrder(IntEnum):
    """Added to the OOM score of a process: if memory runs out, the kernel ends the highest score first."""

    FORK_SERVER = 100
    WORKER = 300
    VERIFIER = 900
    SANDBOX = 1000


def is_linux() -> bool:
    return sys.platform == "linux"


def end_with_parent(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Get this signal when the parent ends, and at once if `parent` is no longer the parent."""
    if is_linux():
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(how))
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


def yield_to_workers() -> None:
    """Make this process a verifier for the system: lower priority, ended first, ended with its parent."""
    os.nice(NICE)
    end_with_parent(os.getppid())
    end_earlier_if_memory_runs_out(OomOrder.VERIFIER)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent has ended, so that this process reaps them."""
    if is_linux():
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Set the name that `ps` and `top` show, at most 15 letters."""
    if is_linux():
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode("ascii"))


def run_on_an_idle_processor() -> None:
    """Run this process, and its children, only while no other process needs the processor."""
    with contextlib.suppress(OSError):
        os.nice(19)
        if is_linux():
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def end_earlier_if_memory_runs_out(order: OomOrder) -> None:
    """Raise the OOM score of this process."""
    path = _SELF / "oom_score_adj"
    with contextlib.suppress(OSError, ValueError):
        score = int(path.read_text(encoding="ascii"))
        path.write_text(str(min(_MOST_OOM_SCORE, max(score, order))), encoding="ascii")


def is_suspended(pid: int) -> bool:
    """Whether a process was stopped by a signal, such as SIGSTOP."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        return state.split()[0] in ("T", "t")
    return False


def at_low_priority(work: Callable[[], T]) -> T:
    """Do this in a thread of low priority, which has ended when this returns. Raises what `work` raises.

    A process that lowers its own priority could not raise it again, and its forks would inherit it.
    """
    done: Future[T] = Future()

    def run() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # of this thread, on Linux
        try:
            done.set_result(work())
        except BaseException as error:  # raised again by the caller
            done.set_exception(error)

    thread = threading.Thread(target=run, name="low-priority")
    thread.start()
    task = _SELF / "task" / str(thread.native_id)
    thread.join()
    while task.exists():  # Python has forgotten it a moment before the system
        time.sleep(_THREAD_ENDS_S)
    return done.result()


def thread_names() -> list[str]:
    """The threads of this process, native threads included."""
    names = []
    for task in (_SELF / "task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            names.append((task / "comm").read_text(encoding="utf-8", errors="replace").strip())
    return names


def allocated_bytes() -> int:
    """Memory that this process has allocated or inherited by a fork, without pages of files; 0 if the system
    does not state it. A page that a fork copies as it writes to it was counted before."""
    try:
        lines = (_SELF / "smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor except stdin, stdout, stderr and the given ones."""
    keep = {0, 1, 2, *kept}
    for path in list((_SELF / "fd").iterdir()):
        if (descriptor := int(path.name)) not in keep:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(descriptor)


def become_a_process_of_its_own() -> None:
    """In a fork: random numbers and garbage collection of its own."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.seed()
    gc.enable()


def memory_kills() -> int:
    """Processes that the kernel has ended for want of memory, in this container or on this machine."""
    for path in (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat")):
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0
