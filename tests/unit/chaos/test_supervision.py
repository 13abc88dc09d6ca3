"""The chaos suite's supervisor and processes that end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from subprocess import Popen

import pytest

from tests.chaos.faults import Faults
from tests.chaos.plan import Fault, Kind
from tests.chaos.supervision import Post, Supervisor
from tests.support.polling import eventually


class Sleeper:
    """A process that does nothing, and knows how often it was started."""

    def __init__(self) -> None:
        self.starts = 0
        self.inside: list[tuple[str, signal.Signals]] = []
        self.alone: list[signal.Signals] = []
        self.start()

    def start(self) -> None:
        self.starts += 1
        self._process = Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        return self._process.poll()

    def tell(self, how: signal.Signals) -> None:
        self._process.send_signal(how)

    def tell_inside(self, name: str, how: signal.Signals) -> None:
        self.inside.append((name, how))

    def tell_alone(self, how: signal.Signals) -> None:
        self.alone.append(how)
        self.tell(how)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def sleepers() -> Iterator[dict[str, Sleeper]]:
    made = {name: Sleeper() for name in ("worker-1", "worker-2", "gateway-1", "redis")}
    yield made
    for sleeper in made.values():
        sleeper.end()


@pytest.fixture
def supervisor(sleepers: dict[str, Sleeper]) -> Iterator[Supervisor]:
    started = Supervisor({name: Post(one, one.start) for name, one in sleepers.items()}, seed=1)
    started.start()
    yield started
    started.stop()


def faults_of(supervisor: Supervisor, sleepers: dict[str, Sleeper]) -> Faults:
    posts = {name: Post(one, one.start) for name, one in sleepers.items()}
    workers = ["worker-1", "worker-2"]
    return Faults(
        supervisor,
        posts,
        workers=workers,
        gateways=["gateway-1"],
        redis="redis",
        coordinator=lambda: "gateway-1",
        tell_alone=lambda program, how: sleepers[program].tell_alone(how),
        tell_inside=lambda program, name, how: sleepers[program].tell_inside(name, how),
    )


def bring_about(faults: Faults, kind: Kind, victim: int = 0) -> None:
    fault = Fault(number=1, kind=kind, victim=victim, calm_s=0, hold_s=0.01)
    faults.bring_about(fault, faults.victims_of(fault))


def test_what_ends_is_started_again_and_noted_where_nobody_asked_for_it(
    supervisor: Supervisor, sleepers: dict[str, Sleeper]
) -> None:
    sleepers["redis"].tell(signal.SIGKILL)
    eventually(lambda: sleepers["redis"].starts == 2)
    assert supervisor.unasked == ["redis ended with -9"]


def test_a_fault_ends_its_victims_and_no_other(supervisor: Supervisor, sleepers: dict[str, Sleeper]) -> None:
    bring_about(faults_of(supervisor, sleepers), Kind.MACHINE_KILLED)
    eventually(lambda: [one.starts for one in sleepers.values()] == [2, 1, 1, 1])
    bring_about(faults_of(supervisor, sleepers), Kind.WORKER_TERMINATED, victim=1)
    eventually(lambda: [one.starts for one in sleepers.values()] == [2, 2, 1, 1])
    assert supervisor.unasked == []


def test_processes_that_takt_restarts_are_killed_inside_their_program(
    supervisor: Supervisor, sleepers: dict[str, Sleeper]
) -> None:
    faults = faults_of(supervisor, sleepers)
    bring_about(faults, Kind.WORKERS_KILLED)
    bring_about(faults, Kind.FORK_SERVER_KILLED, victim=1)
    killed = ("takt-worker", signal.SIGKILL)
    assert sleepers["worker-1"].inside == [killed]
    assert sleepers["worker-2"].inside == [killed, ("takt-forkserver", signal.SIGKILL)]
    assert [one.starts for one in sleepers.values()] == [1, 1, 1, 1]


def test_a_supervisor_is_killed_alone_and_the_coordinator_is_the_gateway_of_the_change(
    supervisor: Supervisor, sleepers: dict[str, Sleeper]
) -> None:
    faults = faults_of(supervisor, sleepers)
    bring_about(faults, Kind.SUPERVISOR_KILLED)
    bring_about(faults, Kind.COORDINATOR_KILLED)
    eventually(lambda: [one.starts for one in sleepers.values()] == [2, 1, 2, 1])
    assert [one.alone for one in sleepers.values()] == [[signal.SIGKILL], [], [], []]
    assert supervisor.unasked == []


def test_a_process_that_is_stopped_goes_on(supervisor: Supervisor, sleepers: dict[str, Sleeper]) -> None:
    bring_about(faults_of(supervisor, sleepers), Kind.REDIS_STOPPED)
    assert [one.starts for one in sleepers.values()] == [1, 1, 1, 1]
    sleepers["redis"].tell(signal.SIGTERM)  # which a stopped process would not take
    eventually(lambda: sleepers["redis"].exit_status == -signal.SIGTERM or sleepers["redis"].starts == 2)
