"""When workers with another content are due."""

from __future__ import annotations

from worker.supervision.worker_replacement import LONGEST_S, PAUSE_S, WorkerReplacement

NONE, ONE, TWO = frozenset[str](), frozenset(["a"]), frozenset(["a", "b"])


def test_workers_are_due_at_once_if_nothing_more_is_expected() -> None:
    succession = WorkerReplacement()
    assert succession.look(ONE, 0.0, settled=True)
    assert succession.target == ONE
    assert not succession.look(ONE, 1.0, settled=True)


def test_while_more_is_expected_they_are_due_after_a_pause() -> None:
    succession = WorkerReplacement()
    assert not succession.look(NONE, 0.0, settled=False)
    assert not succession.look(ONE, 1.0, settled=False)
    assert not succession.look(ONE, 1.0 + PAUSE_S - 0.1, settled=False)
    assert succession.look(ONE, 1.0 + PAUSE_S, settled=False)
    assert succession.target == ONE


def test_a_worker_is_due_even_if_nothing_is_open_after_a_pause() -> None:
    succession = WorkerReplacement()
    assert not succession.look(NONE, 0.0, settled=False)
    assert succession.look(NONE, PAUSE_S, settled=False)


def test_a_steady_stream_of_versions_delays_workers_only_so_long() -> None:
    succession, now_s = WorkerReplacement(), 0.0
    while not succession.look(frozenset(map(str, range(int(now_s)))), now_s, settled=False):
        now_s += PAUSE_S / 2
        assert now_s <= LONGEST_S
    assert now_s > PAUSE_S


def test_a_further_version_is_due_when_it_is_open() -> None:
    succession = WorkerReplacement()
    succession.look(ONE, 0.0, settled=True)
    assert not succession.look(ONE, 50.0, settled=False)  # it is being verified
    assert succession.look(TWO, 60.0, settled=True)


def test_a_content_that_comes_back_before_it_was_due_replaces_nothing() -> None:
    succession = WorkerReplacement()
    succession.look(ONE, 0.0, settled=True)
    assert not succession.look(TWO, 10.0, settled=False)
    assert not succession.look(ONE, 11.0, settled=False)
    assert not succession.look(TWO, 20.0, settled=False)
