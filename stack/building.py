"""Building and verifying models, in a program of its own that may load frameworks: `python -m worker`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from shared.workers import MeasuredRuntime
from stack.errors import CommandError
from stack.line_process import LINES_TO, LineProcess
from stack.logs import Log
from stack.services import ending

OnOutput: TypeAlias = Callable[[str, str], None]
"""Given the model, or nothing between models, and a line that its code printed."""


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """One model's line of `python -m worker`."""

    model: str
    state: str
    version: str = ""
    seconds: float = 0.0
    reason: str | None = ""  # null in the line of one that is right
    warnings: list[str] = []

    @property
    def name(self) -> str:
        return f"{self.model}@{self.version}" if self.version else self.model

    def _warned(self) -> list[str]:
        return [f"warning: {text}" for text in self.warnings]


class Built(_Line, frozen=True, kw_only=True):
    """What became of one model: built, present or failed."""

    metrics: dict[str, float] = {}

    @property
    def ok(self) -> bool:
        return self.state != "failed"

    def in_words(self) -> str:
        if not self.ok:
            return f"failed: {self.reason}"
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        done = f"{self.state} in {self.seconds:.1f} s" + (f" ({metrics})" if metrics else "")
        return "; ".join([done, *self._warned()])


class Verified(_Line, frozen=True, kw_only=True):
    """What a verification found: ok or failed."""

    rows_per_s: float = 0.0
    runtime: str = ""  # which runs calls of how many rows, in words
    compared: list[MeasuredRuntime] = []

    @property
    def ok(self) -> bool:
        return self.state == "ok"

    def in_words(self) -> str:
        if not self.ok:
            return f"failed: {self.reason}"
        parities = map(_parity, self.compared[1:])
        done = [f"ok, {self.rows_per_s:,.0f} rows/s", self.runtime, *parities]
        return "; ".join([*done, *self._warned()])


def _parity(runtime: MeasuredRuntime) -> str:
    same = "the same bits" if runtime.bit_equal else f"differs by up to {runtime.max_difference:.1e}"
    return f"{runtime.name} {same} on {runtime.compared_rows:,} rows"


@dataclass(frozen=True)
class ModelProgram:
    """How to run `python -m worker` on models."""

    settings: Mapping[str, str]  # its environment
    log: Log  # of its standard error
    on_output: OnOutput  # called with each line that a model prints
    group: int | None = None  # the process group that it joins


def build(names: Sequence[str], options: Sequence[str], program: ModelProgram) -> Iterator[Built]:
    """Build models, a line as each is done, failed ones too. Raises Refusal if the program fails."""
    for line in _lines("build", names, options, program):
        yield msgspec.json.decode(line, type=Built)


def verify(names: Sequence[str], program: ModelProgram) -> Iterator[Verified]:
    """Verify models, a line as each is done, failed ones too. Raises Refusal if the program fails."""
    for line in _lines("verify", names, (), program):
        yield msgspec.json.decode(line, type=Verified)


def _lines(
    command: str, names: Sequence[str], options: Sequence[str], program: ModelProgram
) -> Iterator[bytes]:
    """The lines of all models. A model that ends the program fails; the program is started for the rest."""
    left = list(names)
    while left:
        run = _Run(command, left, options, program)
        yield from run.lines()
        if run.ended_by is None:
            return
        yield run.failure()
        left = left[run.begun :]


class _Run:
    """One run of the program."""

    def __init__(
        self, command: str, names: Sequence[str], options: Sequence[str], program: ModelProgram
    ) -> None:
        self._command = command
        self._words = (*names, *options)
        self._program = program
        self._log_start_bytes = program.log.size_bytes()
        self._current: _Line | None = None  # the model that it works on
        self.begun = 0  # models
        self.ended_by: str | None = None  # how a model ended the program; None: none did

    def lines(self) -> Iterator[bytes]:
        """Raises Refusal if the program fails without having begun with a model."""
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
        """The line of the model that ended the program."""
        assert self._current is not None
        reason = "; ".join([f"its code ended the program, which {self.ended_by}", *self._last_words(3)])
        line = {"model": self._current.model, "version": self._current.version, "state": "failed"}
        return msgspec.json.encode(line | {"reason": reason})

    def _is_news(self, line: bytes) -> bool:
        found = msgspec.json.decode(line, type=_Line)
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
