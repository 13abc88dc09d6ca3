"""The quarantine process: runs rows of a model version that may end the process.

It is a fork of the fork server, which holds the model, and forks for each task. The fork runs the rows; if it
dies, the model need not be loaded again. The parent calls no model before it forks and keeps to one thread,
since threads do not survive a fork. `python -m worker quarantine MODEL@VERSION` is the same for a worker that
is no fork: it loads the model once. On a GPU each fork loads the model itself, because a process must not
fork after it has initialised CUDA.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import NoReturn

import msgspec
import structlog

from shared import arrow_tables
from shared.keys import ModelKey, split_model_key
from shared.repository import ModelVersion, open_repository
from shared.settings import Settings
from worker.control.operating_system import (
    OomOrder,
    end_earlier_if_memory_runs_out,
    end_with_parent,
    run_on_an_idle_processor,
)
from worker.execution.invalid_rows import InvalidRows, part_rows
from worker.execution.slices import ChunkWork
from worker.execution.watchdog import limit_in_words
from worker.memory import limit_memory
from worker.predictors import Predictor, open_predictor
from worker.predictors.golden_check import BrokenModelError, check_golden_rows
from worker.sandbox.sandbox_protocol import LOAD_LIMIT_S, Frame, FrameKind, Frames, Task, hung_up, write_frame

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 0.2


def serve_program(key: ModelKey, settings: Settings) -> int:
    """Run tasks from stdin until it closes, answers to stdout. → the exit status."""
    answers = os.dup(1)
    os.dup2(2, 1)  # output of a model must not mix with frames
    version = open_repository(settings.models_folder()).version(*split_model_key(key))
    serve(0, answers, version, settings)
    return 0


def serve(
    tasks: int, answers: int, version: ModelVersion, settings: Settings, predictor: Predictor | None = None
) -> None:
    """Run tasks until their pipe closes. `predictor`: the open model; otherwise this process loads it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal: this process ends with its worker
    limit_memory(settings)
    _leave_no_core()
    fork = _SandboxFork(version, settings, tasks, answers, predictor)
    write_frame(answers, FrameKind.READY)
    frames = Frames(tasks)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            frame = frames.next(_LOOK_EVERY_S)
            if frame is not None:
                fork.run(msgspec.msgpack.decode(frame[1], type=Task))


class _SandboxFork:
    def __init__(
        self,
        version: ModelVersion,
        settings: Settings,
        tasks: int,
        answers: int,
        predictor: Predictor | None,
    ) -> None:
        self._version = version
        self._settings = settings
        self._tasks = tasks
        self._answers = answers
        self._predictor = predictor or (self._load() if settings.device == "cpu" else None)

    def _load(self) -> Predictor:
        return open_predictor(
            self._version,
            device=self._settings.device,
            threads=1,
            mismatch=self._settings.framework_mismatch,
        )

    def run(self, task: Task) -> None:
        """Fork, run the task in the fork, and pass on its frames, or how it ended."""
        if task.background:
            run_on_an_idle_processor()
        read_end, write_end = os.pipe()
        own, pid = os.getpid(), os.fork()
        if pid == 0:
            os.close(read_end)
            self._run_and_exit(own, task, write_end)
        os.close(write_end)
        try:
            how = self._pass_on(Frames(read_end), task.limit_s)
        finally:
            os.close(read_end)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        if how is not None:
            write_frame(self._answers, FrameKind.DIED, (how or _ending(status)).encode())

    def _pass_on(self, frames: Frames, limit_s: float) -> str | None:
        """→ None if the fork finished its task; else the reason why it did not, empty if only its
        exit status shows it."""
        step_limit_s, why = LOAD_LIMIT_S, f"{LOAD_LIMIT_S:g} s, the limit of loading a model"
        while True:
            try:
                frame = self._answer(frames, step_limit_s)
            except EOFError:
                return ""
            if frame is None:
                return f"no answer within {why}"
            kind, body = frame
            step_limit_s, why = limit_s, limit_in_words(limit_s)
            if kind is not FrameKind.READY:
                write_frame(self._answers, kind, body)
            if kind in (FrameKind.DONE, FrameKind.SICK):
                return None

    def _answer(self, frames: Frames, limit_s: float) -> Frame | None:
        """The fork's next frame; None: none within the limit. Raises BrokenPipeError if the worker has
        gone."""
        end_s = time.monotonic() + limit_s
        while (left_s := end_s - time.monotonic()) > 0:
            frame = frames.next(min(left_s, _LOOK_EVERY_S))
            if frame is not None:
                return frame
            if hung_up(self._tasks):
                raise BrokenPipeError
        return None

    def _run_and_exit(self, parent: int, task: Task, out: int) -> NoReturn:
        status = 1
        try:
            end_with_parent(parent)
            end_earlier_if_memory_runs_out(OomOrder.SANDBOX)
            self._run_here(task, out)
            status = 0
        except Exception:
            log.exception("cell_failed", model=self._version.key)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        finally:
            os._exit(status)

    def _run_here(self, task: Task, out: int) -> None:
        predictor = self._predictor or self._load()
        write_frame(out, FrameKind.READY)
        began_s = time.perf_counter()
        try:
            if task.rows or task.columns:
                for result in _results(predictor, task):
                    write_frame(out, FrameKind.RESULT, result)
            else:
                check_golden_rows(predictor)
        except BrokenModelError as error:
            write_frame(out, FrameKind.SICK, str(error).encode())
        else:
            write_frame(out, FrameKind.DONE, b"%.6f" % (time.perf_counter() - began_s))


def _work(predictor: Predictor, task: Task) -> ChunkWork:
    if task.columns:
        columns = predictor.join(task.columns, task.column_rows)
        return ChunkWork(predictor, "shadow", columns, InvalidRows(None))
    invalid, rows = part_rows(arrow_tables.read_ipc(task.rows))
    return ChunkWork(predictor, "quarantine", arrow_tables.columns_of_batch(predictor.spec, rows), invalid)


def _results(predictor: Predictor, task: Task) -> Iterator[bytes]:
    work, schema = _work(predictor, task), arrow_tables.result_schema(predictor.spec)
    while not work.complete:
        done = len(work.results)
        # while it isolates failing rows, send results after each call: each frame shows that the process
        # lives
        work.run_slice(task.step_rows, on_failure=lambda: check_golden_rows(predictor), limit_s=0.0)
        yield arrow_tables.write_ipc(work.results[done:], schema)


def _ending(status: int) -> str:
    """The reason for a process that ended before it finished its task."""
    if os.WIFEXITED(status):
        how = f"exited with status {os.WEXITSTATUS(status)}"
    else:
        how = f"ended with {signal.Signals(os.WTERMSIG(status)).name}"
    hint = " (out of memory?)" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else ""
    return f"the process {how} while it ran this row{hint}"


def _leave_no_core() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
