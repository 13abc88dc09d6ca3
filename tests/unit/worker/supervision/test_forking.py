"""Forks that become children of the supervisor, in a process of their own."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from tests.support.documents import ROOT
from worker.supervision import forking

_PROGRAM = """
import os, signal, sys, threading
from worker.control.operating_system import adopt_orphans
from worker.supervision import forking

adopt_orphans()
read_end, write_end = os.pipe()
"""


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM + program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_fork_is_a_child_of_the_supervisor_and_has_only_its_descriptors() -> None:
    printed = run("""
other = os.open("/dev/null", os.O_RDONLY)

def child():
    held = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    os.write(write_end, repr((os.getppid(), other in held, write_end in held)).encode())

pid = forking.forked(forking.WORKER, os.getpid(), [write_end], child)
parent, has_other, has_own = eval(os.read(read_end, 1000))
reaped, status = os.waitpid(pid, 0)
print(parent == os.getpid(), has_other, has_own, reaped == pid, os.waitstatus_to_exitcode(status))
""")
    assert printed == "True False True True 0"


def test_a_fork_has_randomness_a_name_and_default_signals_of_its_own() -> None:
    printed = run("""
import numpy, random
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
numpy.random.seed(1)

def child():
    drawn = numpy.random.random(), random.random()
    name = Path("/proc/self/comm").read_text().strip()
    os.write(write_end, repr((drawn, name, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)).encode())

found = []
for _ in range(2):
    forking.forked(forking.SANDBOX, os.getpid(), [write_end], child)
    found.append(eval(os.read(read_end, 1000)))
(first, name, is_default), (second, _, _) = found
print(first[0] != second[0], first[1] != second[1], name, is_default)
""")
    assert printed == "True True takt-sandbox True"


def test_the_status_of_a_fork_is_that_of_its_program() -> None:
    printed = run("""
def crash():
    raise RuntimeError("a bug")

def leave():
    sys.exit(3)

for program in (crash, leave):
    pid = forking.forked(forking.VERIFIER, os.getpid(), [], program)
    print("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""")
    assert [line for line in printed.splitlines() if line.startswith("status")] == ["status 1", "status 3"]


def test_a_fork_server_whose_set_up_fails_ends_and_does_not_go_on_as_its_parent() -> None:
    printed = run("""
parent = os.getpid()

def fail(_):
    raise OSError("no rights")

forking.end_earlier_if_memory_runs_out = fail
pid = forking.forked(forking.SPARE, parent, [], None)
print("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.getpid() == parent)
""")
    assert [line for line in printed.splitlines() if line.startswith("status")] == ["status 1 True"]


def test_a_fork_ends_with_its_supervisor() -> None:
    printed = run("""
import time
supervisor = os.fork()
if supervisor == 0:
    adopt_orphans()
    pid = forking.forked(forking.VERIFIER, os.getpid(), [], lambda: time.sleep(3600))
    os.write(write_end, str(pid).encode())
    time.sleep(3600)
pid = int(os.read(read_end, 20))
os.kill(supervisor, signal.SIGKILL)
ended = {os.waitpid(-1, 0)[0] for _ in range(2)}
print(ended == {supervisor, pid})
""")
    assert printed == "True"


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_a_fork_that_the_system_refuses_is_reported(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse() -> int:
        raise OSError(number, "refused")

    monkeypatch.setattr("worker.supervision.forking.os.fork", refuse)
    with pytest.raises(OSError, match="refused") as raised:
        forking.forked(forking.WORKER, 1, [], lambda: None)
    assert raised.value.errno == number


def test_a_second_fork_that_the_system_refuses_is_reported_and_leaves_no_process() -> None:
    printed = run("""
import errno
whole = os.fork

def refuse():
    raise OSError(errno.ENOMEM, "refused")

def first():
    pid = whole()
    if pid == 0:
        os.fork = refuse
    return pid

os.fork = first
try:
    forking.forked(forking.WORKER, os.getpid(), [], lambda: None)
except OSError as error:
    print(errno.errorcode[error.errno])
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("none")
""")
    assert printed.split() == ["ENOMEM", "none"]
