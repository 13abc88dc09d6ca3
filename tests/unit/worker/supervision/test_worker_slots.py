"""Starts, restarts and successions of workers; no process is started."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import msgspec
import pytest

from shared.worker_records import HeldModel, ModelState, SupervisorFacts
from worker.control.channel import Channel
from worker.control.control_messages import ModelStates, SandboxWanted, Serving, WorkerOrder, WorkerStart
from worker.supervision.worker_slots import KILL_MARGIN_S, Worker, WorkerGroup

OLD, NEW = frozenset(["a"]), frozenset(["a", "b"])
KILLED, CRASHED = signal.SIGKILL, 70 << 8
GRACE_S = 10.0


class House:
    """Workers whose processes are numbers, and the signals that they got."""

    def __init__(self, count: int) -> None:
        self.launched: list[tuple[Worker, Channel]] = []
        self.signals: list[tuple[int, signal.Signals]] = []
        self.workers = WorkerGroup(
            "w",
            count,
            grace_s=GRACE_S,
            launch=self._launch,
            facts=self._facts,
            first_number=4,
            signal_process=lambda pid, number: self.signals.append((pid, number)),
            now=lambda: "now",
        )

    def _facts(self) -> SupervisorFacts:
        workers = self.workers
        return SupervisorFacts(
            name="w",
            pid=1,
            workers=1,
            restarts=workers.restarts,
            last_exit=workers.last_exits[-1] if workers.last_exits else None,
        )

    def _launch(self, worker: Worker, end: socket.socket) -> None:
        self.launched.append((worker, Channel(end.dup())))

    def close(self) -> None:
        for worker, channel in self.launched:
            worker.channel.close()
            channel.close()

    def fork(self) -> list[Worker]:
        """Give every ordered worker a process."""
        waiting = [worker for worker, _ in self.launched if not worker.pid]
        for worker in waiting:
            self.workers.started(worker, 100 + len([one for one, _ in self.launched if one.pid]))
        return waiting

    def serve(self, now_s: float = 0.0) -> list[Worker]:
        """Fork, and let them serve."""
        forked = self.fork()
        for worker in forked:
            assert self.workers.requested(worker, Serving(), now_s) is None
        return forked

    def orders(self, worker: Worker) -> list[WorkerOrder]:
        (channel,) = (channel for one, channel in self.launched if one is worker)
        decoder = msgspec.msgpack.Decoder(WorkerOrder)
        return [decoder.decode(body) for body, _ in channel.receive()]

    def start_order(self, worker: Worker) -> WorkerStart:
        order = self.orders(worker)[0]
        assert isinstance(order, WorkerStart)
        return order


@pytest.fixture
def house() -> Iterator[House]:
    made = House(1)
    yield made
    made.close()


@pytest.fixture
def two() -> Iterator[House]:
    made = House(2)
    yield made
    made.close()


def test_each_worker_has_the_name_of_its_place(two: House) -> None:
    two.workers.tend(OLD, 0.0)
    names = [two.start_order(worker).id.rpartition(":")[0] for worker in two.serve()]
    assert names == ["w/0", "w/1"]


def test_a_worker_that_served_is_restarted_at_once_and_takes_over_from_the_ended(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    (first,) = house.serve(now_s=0.0)
    assert house.workers.ended(first.pid, KILLED, 60.0)
    house.workers.tend(OLD, 60.0)
    (second,) = house.serve(now_s=60.5)
    order = house.start_order(second)
    assert order.dead == [first.id]
    assert order.supervisor.restarts == 1
    assert order.supervisor.last_exit is not None
    assert order.supervisor.last_exit.reason == "was killed by SIGKILL"


def test_a_crash_loop_is_delayed_longer_and_longer_and_delays_no_sibling(two: House) -> None:
    two.workers.tend(OLD, 0.0)
    bad, good = two.serve(now_s=0.0)
    two.workers.ended(good.pid, KILLED, 50.0)
    pauses, now_s = [], 50.0
    for _ in range(3):
        two.workers.tend(OLD, now_s)
        two.serve(now_s)
        two.workers.ended(bad.pid, CRASHED, now_s + 0.1)
        begun_s = now_s = now_s + 0.1
        while bad.pid not in (one.pid for one in two.workers.all):
            now_s += 0.05
            two.workers.tend(OLD, now_s)
            if forked := two.fork():
                (bad,) = forked
        pauses.append(now_s - begun_s)
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * pauses[0]


def test_a_successor_serves_before_the_old_worker_is_told_to_stop(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    (old,) = house.serve()
    house.workers.tend(NEW, 5.0)
    (new,) = house.fork()
    assert house.start_order(new).follows == old.id
    assert house.signals == []
    house.workers.requested(new, Serving(), 6.0)
    assert house.signals == [(old.pid, signal.SIGTERM)]
    assert house.workers.ids() == [new.id]
    house.workers.ended(old.pid, 0, 7.0)
    assert house.workers.restarts == 0


def test_workers_are_numbered_after_those_of_other_groups(two: House) -> None:
    two.workers.tend(OLD, 0.0)
    assert [(one.id[:3], two.start_order(one).number) for one in two.fork()] == [("w/0", 4), ("w/1", 5)]


def test_only_one_worker_at_a_time_is_replaced(two: House) -> None:
    two.workers.tend(OLD, 0.0)
    two.serve()
    two.workers.tend(NEW, 5.0)
    two.workers.tend(NEW, 5.1)
    assert len(two.fork()) == 1
    two.workers.requested(two.launched[-1][0], Serving(), 6.0)
    two.workers.tend(NEW, 6.0)
    assert len(two.fork()) == 1


def test_a_worker_that_does_not_serve_yet_is_ended_at_once_for_its_replacement(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    (waiting,) = house.fork()
    house.workers.tend(NEW, 1.0)
    assert house.signals == [(waiting.pid, signal.SIGKILL)]
    house.workers.ended(waiting.pid, KILLED, 1.1)
    house.workers.tend(NEW, 1.1)
    (after,) = house.serve()
    assert after.content == NEW
    assert house.start_order(after).dead == [waiting.id]
    assert house.workers.restarts == 0


def test_a_successor_that_does_not_serve_yet_is_ended_if_another_content_is_wanted(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    (old,) = house.serve()
    house.workers.tend(NEW, 5.0)
    (successor,) = house.fork()
    house.workers.tend(OLD, 5.1)
    assert house.signals == [(successor.pid, signal.SIGKILL)]
    house.workers.ended(successor.pid, KILLED, 5.2)
    house.workers.tend(OLD, 5.2)
    assert house.workers.ids() == [old.id]
    assert house.fork() == []


def test_no_worker_is_started_while_its_versions_are_not_open(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    (first,) = house.serve()
    house.workers.ended(first.pid, KILLED, 60.0)
    house.workers.tend(OLD, 60.0, starts=False)
    assert house.fork() == []
    house.workers.tend(OLD, 60.1)
    assert len(house.fork()) == 1


def test_a_worker_that_hangs_is_killed_and_that_is_its_reason(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    (worker,) = house.serve()
    house.workers.hangs(worker.id, 30.4)
    assert house.signals == [(worker.pid, signal.SIGKILL)]
    house.workers.ended(worker.pid, KILLED, 60.0)
    assert house.workers.last_exits[-1].reason == "hung: it was killed after 30 s without a sign of life"


def test_a_worker_that_ends_during_its_succession_is_followed_by_its_successor(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    (old,) = house.serve()
    house.workers.tend(NEW, 5.0)
    (new,) = house.fork()
    house.workers.ended(old.pid, KILLED, 5.1)
    house.workers.requested(new, Serving(), 5.5)
    assert house.workers.ids() == [new.id]
    assert house.signals == []


def test_a_worker_that_outlasts_its_grace_is_killed(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    (worker,) = house.serve()
    house.workers.stop(1.0)
    house.workers.tend(OLD, 1.0 + GRACE_S)
    assert house.signals == [(worker.pid, signal.SIGTERM)]
    house.workers.tend(OLD, 1.0 + GRACE_S + KILL_MARGIN_S)
    assert house.signals[-1] == (worker.pid, signal.SIGKILL)
    house.workers.ended(worker.pid, KILLED, 20.0)
    assert not list(house.workers.all)


def test_a_worker_that_is_forked_after_the_order_to_stop_is_ended(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    house.workers.stop(0.1)
    (worker,) = house.fork()
    assert house.signals == [(worker.pid, signal.SIGKILL)]


def test_a_refused_fork_is_tried_again_later_and_later(house: House) -> None:
    pauses, now_s = [], 0.0
    for _ in range(3):
        house.workers.tend(OLD, now_s)
        worker = house.launched[-1][0]
        house.workers.refused(worker, "fork: Cannot allocate memory", now_s)
        pauses.append(house.workers.next_start_s() - now_s)
        now_s = house.workers.next_start_s()
    assert pauses == pytest.approx([0.2, 0.4, 0.8])
    house.workers.tend(OLD, now_s)
    house.serve(now_s)
    assert len(house.workers.ids()) == 1


def test_changed_states_are_announced_once(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    (worker,) = house.serve()
    states = {"a@1": HeldModel(state=ModelState.FAILED, reason="wrong")}
    house.workers.update(states)
    house.workers.update(dict(states))
    assert house.orders(worker)[1:] == [ModelStates(states)]


def test_a_request_for_a_sandbox_is_passed_on(house: House) -> None:
    house.workers.tend(OLD, 0.0)
    (worker,) = house.serve()
    wanted = SandboxWanted(1, "a@1")
    assert house.workers.requested(worker, wanted, 1.0) is wanted


def test_a_process_that_is_no_worker_is_left_alone(house: House) -> None:
    assert not house.workers.ended(os.getpid(), 0, 0.0)
