"""Forks of the fork server, handed over to the supervisor.

The fork server forks twice, and the process between ends at once. So the second fork becomes a child of the
supervisor, which has declared itself the reaper of its descendants. It reaps every process on this machine's
behalf, whether or not the fork server that made it still lives.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from worker.control.operating_system import (
    OomOrder,
    become_a_process_of_its_own,
    close_all_but,
    end_earlier_if_memory_runs_out,
    end_with_parent,
    name_process,
)

log = structlog.get_logger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_RESULT = struct.Struct("<iI")  # pid, or 0; errno
_ADOPTION_S = 0.001


@dataclass(frozen=True)
class ForkKind:
    """What distinguishes the kinds of forks for the operating system."""

    name: str
    order: OomOrder
    on_orphan: signal.Signals  # sent when the supervisor ends


WORKER = ForkKind("takt-worker", OomOrder.WORKER, signal.SIGTERM)
SPARE = ForkKind("takt-spare", OomOrder.FORK_SERVER, signal.SIGKILL)
VERIFIER = ForkKind("takt-verifier", OomOrder.VERIFIER, signal.SIGKILL)
SANDBOX = ForkKind("takt-sandbox", OomOrder.SANDBOX, signal.SIGKILL)


def forked(kind: ForkKind, supervisor: int, kept: Sequence[int], run: Callable[[], None] | None) -> int:
    """Run `run` in a fork that is a child of the supervisor, with no descriptors but stdin, stdout, stderr
    and `kept`. → its process id. Raises OSError if the system refuses.

    Without `run` this function returns 0 in the fork. The stack of each further fork is therefore no deeper
    than the stack of the first.
    """
    gc.freeze()  # a collection in a fork would copy every page
    sys.stdout.flush()
    read_end, write_end = os.pipe()
    try:
        between = os.fork()
    except OSError:
        os.close(read_end)
        os.close(write_end)
        raise
    if between == 0:
        _fork_again(kind, supervisor, kept, run, write_end)
        return 0
    try:
        os.waitpid(between, 0)
        pid, error = _RESULT.unpack(os.read(read_end, _RESULT.size).ljust(_RESULT.size, b"\xff"))
    finally:
        os.close(read_end)
        os.close(write_end)
    if error:
        known = error in errno.errorcode
        raise OSError(error, os.strerror(error)) if known else OSError("the process between ended")
    return int(pid)


def _fork_again(
    kind: ForkKind, supervisor: int, kept: Sequence[int], run: Callable[[], None] | None, result: int
) -> None:
    """Returns only in a fork without `run`."""
    between = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        os.write(result, _RESULT.pack(0, error.errno or errno.EAGAIN))
        os._exit(1)
    if pid:
        os.write(result, _RESULT.pack(pid, 0))
        os._exit(0)
    with _ended_by_errors(kind):
        _set_up(kind, between, supervisor, kept)
        if run is None:
            return
        run()
    _exit(0)


def _set_up(kind: ForkKind, between: int, supervisor: int, kept: Sequence[int]) -> None:
    while os.getppid() == between:
        time.sleep(_ADOPTION_S)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    end_with_parent(supervisor, kind.on_orphan)
    close_all_but(kept)
    name_process(kind.name)
    end_earlier_if_memory_runs_out(kind.order)
    become_a_process_of_its_own()


@contextmanager
def _ended_by_errors(kind: ForkKind) -> Iterator[None]:
    """End this process after an error, so that a fork never runs the code of the fork server."""
    try:
        yield
    except SystemExit as error:
        _exit(error.code if isinstance(error.code, int) else 1)
    except BaseException:
        try:
            log.exception("fork_crashed", kind=kind.name)
        finally:
            _exit(1)


def _exit(status: int) -> None:
    try:
        logging.shutdown()
        sys.stdout.flush()
    finally:
        os._exit(status)
