"""Quarantine: a chunk that ended two workers runs in a separate process until its poison rows are found.

    by slices ─ process ends ─▶ that slice row by row ─ ends again ─▶ that row fails ─▶ continue after it

A row that ends its process, or exceeds the time limit, costs at most two processes and does not affect its
neighbours. After `MOST_DEATHS` lost processes the remaining rows of the chunk fail.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
import pyarrow as pa
import structlog

from shared import arrow_tables
from shared.keys import ModelKey
from shared.settings import environment
from worker.control.supervisor_link import SandboxNotStartedError
from worker.environments.commands import worker_command
from worker.predictors import Predictor
from worker.predictors import outputs as views
from worker.predictors.golden_check import BrokenModelError
from worker.sandbox.sandbox_protocol import LOAD_LIMIT_S, Frame, FrameKind, Frames, Task, write_frame

log = structlog.get_logger(__name__)

MOST_DEATHS = 40
"""The most processes that a chunk may cost. At the default limit of 20 s a call that is a quarter of an
hour, if every process hangs."""
MOST_SLICE_ROWS = 1000
IDLE_S = 60.0
"""How long an idle quarantine process keeps its model for the next chunk."""
_LOOK_EVERY_S = 0.2
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class SandboxError(Exception):
    """The quarantine process failed: it could not load the model, or it ended. No row is failed for it."""


@dataclass
class Search:
    """Decides which rows of a chunk run next, and which row caused a death. Pure."""

    rows: int
    slice_rows: int
    position: int = 0  # rows that have a result
    deaths: int = 0
    _alone_until: int = 0  # rows before this index run one by one

    @property
    def over(self) -> bool:
        return self.position == self.rows

    @property
    def given_up(self) -> bool:
        return self.deaths >= MOST_DEATHS

    def next_run(self) -> tuple[int, int]:
        """→ the end of the range to run, and the rows of each step."""
        if self.position < self._alone_until:
            return self._alone_until, 1
        return self.rows, self.slice_rows

    def died(self) -> bool:
        """The process ended during the step at `position`. → True if the step had one row, which is the
        cause."""
        self.deaths += 1
        stop, step = self.next_run()
        step_rows = min(step, stop - self.position)
        if step_rows > 1:
            self._alone_until = self.position + step_rows
        return step_rows == 1


StartSandbox: TypeAlias = Callable[[ModelKey, int, int], "subprocess.Popen[bytes] | None"]
"""Starts a quarantine process that reads tasks from the first descriptor and writes answers to the second.
→ the process, if this worker is its parent. Raises SandboxNotStartedError."""


def started_program(key: ModelKey, tasks: int, answers: int) -> subprocess.Popen[bytes]:
    """A quarantine process that loads the model itself, for a worker that is no fork."""
    command = worker_command("quarantine", key)
    return subprocess.Popen(command, stdin=tasks, stdout=answers, env=environment({}) | _ONE_THREAD)


class SandboxProcess:
    """The worker's side of a quarantine process. The process ends when this worker closes its tasks."""

    def __init__(self, key: ModelKey, start: StartSandbox) -> None:
        """Raises SandboxError."""
        tasks, own_tasks = os.pipe()
        own_answers, answers = os.pipe()
        self._pipes = os.fdopen(own_tasks, "wb", 0), os.fdopen(own_answers, "rb", 0)
        try:
            self._process = start(key, tasks, answers)
        except SandboxNotStartedError as error:
            self._close_pipes()
            raise SandboxError(f"no quarantine process was started: {error}") from error
        finally:
            os.close(tasks)
            os.close(answers)
        self._frames = Frames(own_answers)
        self.ready = False

    def frames(self, task: Task, may_go_on: Callable[[], bool]) -> Iterator[Frame]:
        """The frames of a task up to its last; ends without a last frame once `may_go_on` is false.

        Raises SandboxError.
        """
        try:
            if not self.ready:
                yield from self._until((FrameKind.READY,), LOAD_LIMIT_S, may_go_on)
                self.ready = True
            write_frame(self._pipes[0].fileno(), FrameKind.TASK, msgspec.msgpack.encode(task))
            ends = (FrameKind.DONE, FrameKind.SICK, FrameKind.DIED)
            yield from self._until(ends, LOAD_LIMIT_S + task.limit_s, may_go_on)
        except (EOFError, OSError) as error:
            raise SandboxError("the quarantine process ended") from error

    def close(self) -> None:
        self._close_pipes()
        if self._process is None:  # its own parent reaps it
            return
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its fork ends with it
            self._process.wait()

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.close()

    def _until(
        self, ends: tuple[FrameKind, ...], silence_s: float, may_go_on: Callable[[], bool]
    ) -> Iterator[Frame]:
        heard_s = time.monotonic()
        while may_go_on():
            frame = self._frames.next(_LOOK_EVERY_S)
            if frame is not None:
                heard_s = time.monotonic()
                yield frame
                if frame[0] in ends:
                    return
            elif time.monotonic() - heard_s > silence_s:
                raise SandboxError(f"the quarantine process sent nothing for {silence_s:g} s")


@dataclass
class SandboxRunner:
    """Runs chunks in quarantine, any number at a time. Shared by all Celery threads of a worker."""

    limit_s: float  # of a model call
    start: StartSandbox = started_program
    _idle: dict[ModelKey, SandboxProcess] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self, predictor: Predictor, rows: pa.RecordBatch, may_go_on: Callable[[], bool]
    ) -> list[pa.RecordBatch] | None:
        """The results of all rows, with a reason for each row that failed; None if it had to stop.

        `may_go_on` is called several times a second. Raises BrokenModelError if the golden rows fail in the
        quarantine process too, and SandboxError.
        """
        process = self._taken(predictor.key)
        try:
            results = _SandboxRun(process, predictor, rows, self.limit_s, may_go_on).results()
        except BaseException:
            process.close()
            raise
        if results is None:
            process.close()  # a task may still run in it
        else:
            self._keep(predictor.key, process)
        return results

    def close(self) -> None:
        """End the idle processes."""
        with self._lock:
            processes, self._idle = list(self._idle.values()), {}
        for process in processes:
            process.close()

    def _taken(self, key: ModelKey) -> SandboxProcess:
        with self._lock:
            process = self._idle.pop(key, None)
        return process or SandboxProcess(key, self.start)

    def _keep(self, key: ModelKey, process: SandboxProcess) -> None:
        with self._lock:
            spare = self._idle.get(key)
            self._idle[key] = process
        if spare:
            spare.close()
        timer = threading.Timer(IDLE_S, self._close_idle, args=[key, process])
        timer.daemon = True
        timer.start()

    def _close_idle(self, key: ModelKey, process: SandboxProcess) -> None:
        with self._lock:
            idle = self._idle.get(key) is process
            if idle:
                del self._idle[key]
        if idle:
            process.close()


@dataclass
class _SandboxRun:
    """A chunk in a quarantine process."""

    process: SandboxProcess
    predictor: Predictor
    rows: pa.RecordBatch
    limit_s: float
    may_go_on: Callable[[], bool]
    _results: list[pa.RecordBatch] = field(default_factory=list)

    def results(self) -> list[pa.RecordBatch] | None:
        spec = self.predictor.spec
        search = Search(self.rows.num_rows, min(spec.batching.max_rows, MOST_SLICE_ROWS))
        while not search.over:
            if search.given_up:
                reason = f"not run: rows before it in its chunk ended {search.deaths} processes"
                self._fail(search, search.rows - search.position, reason)
                break
            end = self._advance(search)
            if end is None:
                return None
            kind, body = end
            if kind is FrameKind.SICK:
                raise BrokenModelError(body.decode())
            if kind is FrameKind.DIED and not self._narrow(search, body.decode()):
                return None
        return self._results

    def _advance(self, search: Search) -> Frame | None:
        """Run the next rows until the task ends or its process does. → the last frame; None: it had to
        stop."""
        stop, step_rows = search.next_run()
        rows = self.rows.slice(search.position, stop - search.position)
        task = Task(
            rows=arrow_tables.write_ipc([rows], rows.schema), step_rows=step_rows, limit_s=self.limit_s
        )
        for kind, body in self.process.frames(task, self.may_go_on):
            if kind is FrameKind.RESULT:
                found = arrow_tables.read_ipc(body)
                self._results += found.to_batches()
                search.position += found.num_rows
            elif kind is not FrameKind.READY:
                return kind, body
        return None

    def _narrow(self, search: Search, how: str) -> bool:
        """→ whether it may continue. The golden rows must pass before a row is failed."""
        if not search.deaths and not self._checked_health():
            return False
        row = search.position
        if search.died():
            log.warning("row_ends_its_process", model=self.predictor.key, row=row, reason=how)
            self._fail(search, 1, how)
        return True

    def _checked_health(self) -> bool:
        """Run the golden rows before a row is failed for a death: the model may end its process on any row.

        → False if it had to stop before the outcome was known. Raises BrokenModelError.
        """
        for kind, body in self.process.frames(Task(limit_s=self.limit_s), self.may_go_on):
            if kind in (FrameKind.SICK, FrameKind.DIED):
                raise BrokenModelError(f"{self.predictor.key}: golden rows: {body.decode()}")
            if kind is FrameKind.DONE:
                return True
        return False

    def _fail(self, search: Search, rows: int, reason: str) -> None:
        self._results.append(views.failed_batch(self.predictor.spec, [reason] * rows))
        search.position += rows
