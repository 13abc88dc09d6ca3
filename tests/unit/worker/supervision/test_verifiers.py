"""Verifiers: their reports, their ends and their limit of time; no process is started."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest

from shared.worker_records import Runtimes
from worker.control.channel import Channel
from worker.control.control_messages import NotVerified, VersionReport, VersionVerified
from worker.supervision.verifiers import Verifier, Verifiers

REPORT = VersionReport(
    rates={1: 10.0}, runtimes=Runtimes(), settled={"names": ["x"]}, load_s=1.0, memory_bytes=1, peak_bytes=2
)
LIMIT_S = 30.0


class Bench:
    """Verifiers whose processes are numbers."""

    def __init__(self) -> None:
        self.ends: list[Channel] = []
        self.verifiers = Verifiers(2, LIMIT_S, self._launch)

    def _launch(self, verifier: Verifier, end: socket.socket) -> None:
        self.ends.append(Channel(end))

    def started(self, key: str, pid: int) -> Verifier:
        self.verifiers.start(key, "1", yields=False)
        verifier = self.verifiers.all[-1]
        self.verifiers.started(verifier, pid, now_s=0.0)
        return verifier

    def close(self) -> None:
        for verifier in self.verifiers.all:
            self.verifiers.refused(verifier)
        for end in self.ends:
            end.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_the_report_of_a_verifier_is_its_result(bench: Bench) -> None:
    verifier = bench.started("a@1", 7)
    bench.ends[0].send(VersionVerified(REPORT))
    bench.ends[0].close()
    assert bench.verifiers.ended(7, 0) == (verifier, VersionVerified(REPORT))
    assert bench.verifiers.all == ()


def test_a_verifier_that_ends_without_a_report_has_failed_with_its_ending(bench: Bench) -> None:
    verifier = bench.started("a@1", 7)
    assert bench.verifiers.ended(7, signal.SIGSEGV) == (
        verifier,
        NotVerified("the process that verified it was killed by SIGSEGV"),
    )


def test_a_verifier_beyond_its_time_is_killed_and_has_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at_s: list[float] = []
    now_s = 0.0
    monkeypatch.setattr("worker.supervision.verifiers.os.kill", lambda *_: killed_at_s.append(now_s))
    verifier = bench.started("a@1", 7)
    assert bench.verifiers.next_limit_s() == LIMIT_S
    for now_s in (LIMIT_S - 0.1, LIMIT_S, LIMIT_S + 1):
        bench.verifiers.end_late(now_s)
    assert killed_at_s == [LIMIT_S]
    assert bench.verifiers.ended(7, signal.SIGKILL) == (
        verifier,
        NotVerified("not verified within 30 s (TAKT_VERIFY_LIMIT_S)"),
    )


def test_only_so_many_run_at_a_time(bench: Bench) -> None:
    room = []
    for pid, key in ((7, "a@1"), (8, "b@1")):
        bench.started(key, pid)
        room.append(bench.verifiers.has_room)
    bench.verifiers.ended(7, 0)
    assert [*room, bench.verifiers.has_room] == [True, False, True]


def test_another_process_is_no_verifier(bench: Bench) -> None:
    bench.started("a@1", 7)
    assert bench.verifiers.ended(8, 0) is None
