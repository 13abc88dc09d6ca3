"""Building and verifying models in a separate program, `python -m worker`, which loads their frameworks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from shared.exit_status import ending
from shared.worker_records import MeasuredRuntime
from stack.command_errors import CommandError
from stack.line_process import LINES_TO, LineProcess
from stack.service_logs import Log

OnOutput: TypeAlias = Callable[[str, str], None]
"""Called with the model (empty between models) and a line of its output."""


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `python -m worker` about a model."""

    model: str
    state: str
    version: str = ""
    seconds: float = 0.0
    reason: str | None = ""  # null if the model is valid
    warnings: list[str] = []
    environment: str = ""  # the name of its environment, if it has one
    environment_s: float = 0.0  # time for making it; 0: it existed

    @property
    def name(self) -> str:
        return f"{self.model}@{self.version}" if self.version else self.model

    def _made_environment(self) -> list[str]:
        made = f"environment {self.environment} made in {self.environment_s:.1f} s"
        return [made] if self.environment_s else []

    def _warned(self) -> list[str]:
        return [f"warning: {text}" for text in self.warnings]


class Built(ModelLine, frozen=True, kw_only=True):
    """The outcome of building a model: built, present or failed."""

    metrics: dict[str, float] = {}

    @property
    def ok(self) -> bool:
        return self.state != "failed"

    def as_text(self) -> str:
        if not self.ok:
            return f"failed: {self.reason}"
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        done = f"{self.state} in {self.seconds:.1f} s" + (f" ({metrics})" if metrics else "")
        return "; ".join([done, *self._made_environment(), *self._warned()])


class Verified(ModelLine, frozen=True, kw_only=True):
    """The outcome of verifying a model: ok or failed."""

    rows_per_s: float = 0.0
    runtime: str = ""  # the chosen runtime for each batch size, as text
    compared: list[MeasuredRuntime] = []

    @property
    def ok(self) -> bool:
        return self.state == "ok"

    def as_text(self) -> str:
        if not self.ok:
            return f"failed: {self.reason}"
        parities = map(_parity, self.compared[1:])
        done = [f"ok, {self.rows_per_s:,.0f} rows/s", self.runtime, *parities]
        return "; ".join([*done, *self._made_environment(), *self._warned()])


def _parity(runtime: MeasuredRuntime) -> str:
    same = "bit-identical" if runtime.bit_equal else f"differs by up to {runtime.max_difference:.1e}"
    return f"{runtime.name} {same} on {runtime.compared_rows:,} rows"


@dataclass(frozen=True)
class ModelProgram:
    """How to run `python -m worker` on models."""

    settings: Mapping[str, str]  # the program's environment
    log: Log  # receives its standard error
    on_output: OnOutput  # called with each line that a model prints
    group: int | None = None  # the process group to join


def build(names: Sequence[str], options: Sequence[str], program: ModelProgram) -> Iterator[Built]:
    """Build models, yielding an outcome for each, failures included.

    Raises CommandError if the program fails.
    """
    for line in lines_of("build", names, options, program):
        yield msgspec.json.decode(line, type=Built)


def verify(names: Sequence[str], program: ModelProgram) -> Iterator[Verified]:
    """Verify models, yielding an outcome for each, failures included.

    Raises CommandError if the program fails.
    """
    for line in lines_of("verify", names, (), program):
        yield msgspec.json.decode(line, type=Verified)


def lines_of(
    command: str, names: Sequence[str], options: Sequence[str], program: ModelProgram
) -> Iterator[bytes]:
    """Yields the lines of all models. A model that ends the program fails; the rest run in a new process."""
    left = list(names)
    while left:
        run = _Run(command, left, options, program)
        yield from run.lines()
        if run.ended_by is None:
            return
        yield run.failure()
        left = left[run.begun :]


class _Run:
    """A run of the program."""

    def __init__(
        self, command: str, names: Sequence[str], options: Sequence[str], program: ModelProgram
    ) -> None:
        self._command = command
        self._words = (*names, *options)
        self._program = program
        self._log_start_bytes = program.log.size_bytes()
        self._current: ModelLine | None = None  # the model in progress
        self.begun = 0  # number of models
        self.ended_by: str | None = None  # how the program ended while a model was in progress

    def lines(self) -> Iterator[bytes]:
        """Raises CommandError if the program fails before it begins with a model."""
        with self._program.log.open() as errors:
            with LineProcess(
                [sys.executable, "-m", "worker", self._command, *self._words, "--lines-to", LINES_TO],
                settings=self._program.settings,
                errors=errors,
                group=self._program.group,
                on_output=self._say,
            ) as process:
                for line in process.lines():
                    if self._is_news(line):
                        yield line
            if self._current is not None:
                self.ended_by = ending(process.code)
            elif process.code and not self.begun:
                raise CommandError(self._words_of_failure(process.code))

    def failure(self) -> bytes:
        """Returns the line of the model that ended the program."""
        assert self._current is not None
        reason = "; ".join([f"the model's code ended the program: it {self.ended_by}", *self._last_words(3)])
        line = {"model": self._current.model, "version": self._current.version, "state": "failed"}
        return msgspec.json.encode(line | {"reason": reason})

    def _is_news(self, line: bytes) -> bool:
        found = msgspec.json.decode(line, type=ModelLine)
        is_begin = found.state == "begun"
        self._current = found if is_begin else None
        self.begun += is_begin
        return not is_begin

    def _say(self, text: str) -> None:
        self._program.on_output(self._current.model if self._current else "", text)

    def _last_words(self, count: int) -> list[str]:
        return self._program.log.last_lines(count, since_bytes=self._log_start_bytes)

    def _words_of_failure(self, code: int) -> str:
        words_last = "".join(f"\n    {line}" for line in self._last_words(8))
        return f"`takt models {self._command}` failed (code {code}):{words_last}"
