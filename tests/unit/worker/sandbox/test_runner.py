"""The search for rows that end their process, and the protocol on its pipes; no process is started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.arrow_tables import streamed_schema
from shared.keys import model_key
from tests.support.engines import Doubling, predictor
from worker.predictors.golden_check import BrokenModelError
from worker.sandbox import sandbox_runner as quarantine
from worker.sandbox.sandbox_protocol import Frame, FrameKind, Frames, Task, hung_up, write_frame
from worker.sandbox.sandbox_runner import (
    MOST_DEATHS,
    SandboxError,
    SandboxProcess,
    SandboxRunner,
    Search,
    started_program,
)


def searched(rows: int, slice_rows: int, poison: set[int]) -> tuple[set[int], Search]:
    """The rows blamed by a search if the rows of `poison` end their process."""
    search, blamed = Search(rows, slice_rows), set()
    while not search.over and not search.given_up:
        stop, step = search.next_run()
        while search.position < stop:
            part = range(search.position, min(search.position + step, stop))
            if poison & set(part):
                if search.died():
                    blamed.add(search.position)
                    search.position += 1
                break
            search.position = part.stop
    return blamed, search


@given(st.integers(1, 300), st.integers(1, 64), st.sets(st.integers(0, 299), max_size=MOST_DEATHS // 2 - 1))
def test_exactly_the_rows_that_end_their_process_are_blamed_at_two_deaths_each(
    rows: int, slice_rows: int, poison: set[int]
) -> None:
    blamed, search = searched(rows, slice_rows, poison)
    assert blamed == {row for row in poison if row < rows}
    assert search.over
    assert search.deaths <= 2 * len(blamed)


def test_a_chunk_in_which_everything_kills_is_given_up_after_so_many_deaths() -> None:
    blamed, search = searched(1000, 10, set(range(1000)))
    assert search.given_up
    assert search.deaths == MOST_DEATHS
    assert blamed == set(range(search.position))


def test_a_death_that_does_not_happen_again_blames_nobody() -> None:
    search = Search(100, 10)
    search.position = 20
    assert not search.died()
    assert search.next_run() == (30, 1)
    search.position = 30
    assert search.next_run() == (100, 10)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_frames_arrive_whole_and_in_order(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    write_frame(write_end, FrameKind.RESULT, b"rows")
    write_frame(write_end, FrameKind.DONE)
    frames = Frames(read_end)
    assert [frames.next(1.0), frames.next(1.0), frames.next(0.0)] == [
        (FrameKind.RESULT, b"rows"),
        (FrameKind.DONE, b""),
        None,
    ]


def test_a_frame_that_breaks_off_is_never_seen() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"r\x09\x00\x00\x00\x00\x00\x00\x00half")
    os.close(write_end)
    with pytest.raises(EOFError):
        Frames(read_end).next(1.0)
    os.close(read_end)


def test_a_pipe_whose_other_side_is_gone_has_hung_up() -> None:
    read_end, write_end = os.pipe()
    assert not hung_up(read_end)
    os.close(write_end)
    assert hung_up(read_end)
    os.close(read_end)


class Scripted:
    """A quarantine process with scripted frames: a list for each task."""

    def __init__(self, *answers: list[Frame]) -> None:
        self._answers = iter(answers)
        self.closed = False

    def frames(self, _task: Task, _may_go_on: object) -> Iterator[Frame]:
        yield from next(self._answers)

    def close(self) -> None:
        self.closed = True


DIED: list[Frame] = [(FrameKind.DIED, b"ended with SIGSEGV")]
SOUND: list[Frame] = [(FrameKind.DONE, b"")]
BROKEN_OFF: list[Frame] = []


def results_of(cell: Scripted, monkeypatch: pytest.MonkeyPatch) -> list[pa.RecordBatch] | None:
    """The results of a single-row chunk."""
    double, runner = predictor(Doubling()), SandboxRunner(20.0)
    monkeypatch.setattr(runner, "_taken", lambda _: cell)
    row = pa.RecordBatch.from_pylist([{"x": 1.0, "error": None}], schema=streamed_schema(double.spec, {}))
    return runner.run(double, row, lambda: True)


def test_a_row_that_ends_its_process_is_blamed_once_the_golden_rows_have_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = results_of(Scripted(DIED, SOUND), monkeypatch)
    assert results is not None
    assert [batch["error"].to_pylist() for batch in results] == [["ended with SIGSEGV"]]


def test_a_row_whose_search_is_broken_off_before_that_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Scripted(DIED, BROKEN_OFF)
    assert results_of(cell, monkeypatch) is None
    assert cell.closed


def test_where_the_golden_rows_die_too_the_model_is_sick(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokenModelError):
        results_of(Scripted(DIED, DIED), monkeypatch)


@contextmanager
def cell_of(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxProcess]:
    """A quarantine process that runs a shell program instead of a model."""
    script = folder / "cell.sh"
    script.write_text(f"#!/bin/sh\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr("worker.environments.commands.sys.executable", str(script))
    cell = SandboxProcess(model_key("double", "1.0.0"), started_program)
    yield cell
    cell.close()


def test_a_quarantine_process_that_says_nothing_is_given_up_after_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "LOAD_LIMIT_S", 0.2)
    with (
        cell_of("exec cat", tmp_path, monkeypatch) as cell,
        pytest.raises(SandboxError, match=r"sent nothing for 0\.2 s"),
    ):
        list(cell.frames(Task(limit_s=20.0), lambda: True))


def test_a_quarantine_process_may_take_the_limit_for_each_of_its_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = r"printf '%s\000\000\000\000\000\000\000\000'"
    slow = f"for kind in y r r r r r r e; do {frame} $kind; sleep 0.3; done; exec cat"
    monkeypatch.setattr(quarantine, "LOAD_LIMIT_S", 1.2)
    with cell_of(slow, tmp_path, monkeypatch) as cell:
        kinds = [kind for kind, _ in cell.frames(Task(limit_s=0.0), lambda: True)]
    assert kinds == [FrameKind.READY, *[FrameKind.RESULT] * 6, FrameKind.DONE]


def test_a_quarantine_process_that_is_given_up_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "LOAD_LIMIT_S", 0.2)
    with cell_of(f"echo $$ > {tmp_path}/pid; exec cat", tmp_path, monkeypatch) as cell:
        double, runner = predictor(Doubling()), SandboxRunner(20.0)
        monkeypatch.setattr(runner, "_taken", lambda _: cell)
        row = pa.RecordBatch.from_pylist([{"x": 1.0, "error": None}], schema=streamed_schema(double.spec, {}))
        with pytest.raises(SandboxError):
            runner.run(double, row, lambda: True)
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)
