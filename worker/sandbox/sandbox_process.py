"""The quarantine process: runs rows of a model version that may end the process.

`python -m worker quarantine MODEL@VERSION` loads the model once and forks for each task. The fork runs the
rows; if it dies, the model need not be loaded again. The parent calls no model before it forks and keeps to
one thread, since threads do not survive a fork. On a GPU each fork loads the model itself, because a process
must not fork after it has initialised CUDA.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import msgspec
import structlog

from shared import tables
from shared.keys import ModelKey, split_model_key
from shared.repository import ModelVersion, open_repository
from shared.settings import Settings
from worker.execution.invalid_rows import part_rows
from worker.execution.slices import ChunkWork
from worker.execution.watchdog import limit_in_words
from worker.memory import limit_memory
from worker.predictors import Predictor, open_predictor
from worker.predictors.golden import BrokenModelError, check_golden_rows
from worker.sandbox.sandbox_protocol import LOAD_LIMIT_S, Frame, FrameKind, Frames, Task, hung_up, write_frame

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 0.2
_PR_SET_PDEATHSIG = 1


def serve(key: ModelKey, settings: Settings) -> int:
    """Run tasks from stdin until it closes. → the exit status."""
    answers = os.dup(1)
    os.dup2(2, 1)  # output of a model must not mix with frames
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal: this process ends with its worker
    limit_memory(settings)
    _leave_no_core()
    fork = _SandboxFork(
        open_repository(settings.models_dir).version(*split_model_key(key)), settings, answers
    )
    write_frame(answers, FrameKind.READY)
    tasks = Frames(0)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            frame = tasks.next(_LOOK_EVERY_S)
            if frame is not None:
                fork.run(msgspec.msgpack.decode(frame[1], type=Task))
    return 0


class _SandboxFork:
    def __init__(self, version: ModelVersion, settings: Settings, answers: int) -> None:
        self._version = version
        self._settings = settings
        self._answers = answers
        self._predictor = self._load() if settings.device == "cpu" else None

    def _load(self) -> Predictor:
        return open_predictor(
            self._version,
            device=self._settings.device,
            threads=1,
            mismatch=self._settings.framework_mismatch,
        )

    def run(self, task: Task) -> None:
        """Fork, run the task in the fork, and pass on its frames, or how it ended."""
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            self._run_and_exit(task, write_end)
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
            if hung_up(0):
                raise BrokenPipeError
        return None

    def _run_and_exit(self, task: Task, out: int) -> NoReturn:
        status = 1
        try:
            _end_with_parent()
            _go_first_where_memory_runs_out()
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
        try:
            if task.rows:
                for result in _results(predictor, task):
                    write_frame(out, FrameKind.RESULT, result)
            else:
                check_golden_rows(predictor)
        except BrokenModelError as error:
            write_frame(out, FrameKind.SICK, str(error).encode())
        else:
            write_frame(out, FrameKind.DONE)


def _results(predictor: Predictor, task: Task) -> Iterator[bytes]:
    invalid, rows = part_rows(tables.read_ipc(task.rows))
    work = ChunkWork(predictor, "quarantine", tables.columns_of_batch(predictor.spec, rows), invalid)
    schema = tables.result_schema(predictor.spec)
    while not work.complete:
        done = len(work.results)
        # while it isolates failing rows, send results after each call: each frame shows that the process
        # lives
        work.run_slice(task.step_rows, on_failure=lambda: check_golden_rows(predictor), limit_s=0.0)
        yield tables.write_ipc(work.results[done:], schema)


def _ending(status: int) -> str:
    """The reason for a process that ended before it finished its task."""
    if os.WIFEXITED(status):
        how = f"exited with status {os.WEXITSTATUS(status)}"
    else:
        how = f"ended with {signal.Signals(os.WTERMSIG(status)).name}"
    hint = " (out of memory?)" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else ""
    return f"the process {how} while it ran this row{hint}"


def _end_with_parent() -> None:
    if sys.platform == "linux":  # on other systems the fork ends when it next writes
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _go_first_where_memory_runs_out() -> None:
    with contextlib.suppress(OSError):  # this file exists on Linux only
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _leave_no_core() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
