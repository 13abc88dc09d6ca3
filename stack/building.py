"""Building and verifying models, in a program of its own that may load frameworks: `python -m worker`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence

import msgspec

from shared.workers import MeasuredRuntime
from stack.logs import Log
from stack.refusals import Refusal


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


def build(
    arguments: Sequence[str], settings: dict[str, str], log: Log, *, group: int | None = None
) -> Iterator[Built]:
    """Build models, a line as each is done, failed ones too. Raises Refusal where the program fails."""
    for line in _lines("build", arguments, settings, log, group):
        yield msgspec.json.decode(line, type=Built)


def verify(arguments: Sequence[str], settings: dict[str, str], log: Log) -> Iterator[Verified]:
    """Verify models, a line as each is done, failed ones too. Raises Refusal where the program fails."""
    for line in _lines("verify", arguments, settings, log, None):
        yield msgspec.json.decode(line, type=Verified)


def _lines(
    command: str, arguments: Sequence[str], settings: dict[str, str], log: Log, group: int | None
) -> Iterator[str]:
    start_bytes = log.size_bytes()
    words = [sys.executable, "-m", "worker", command, *arguments]
    failed = False
    with (
        log.open() as errors,
        subprocess.Popen(
            words, env=settings, stdout=subprocess.PIPE, stderr=errors, text=True, process_group=group
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            failed |= '"state":"failed"' in line
            yield line
    if process.returncode and not failed:
        words_last = "".join(f"\n    {line}" for line in log.last_lines(8, since_bytes=start_bytes))
        raise Refusal(f"`takt models {command}` failed (code {process.returncode}):{words_last}")
