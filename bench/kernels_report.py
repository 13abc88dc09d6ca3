"""Table of the speed-up of compiled runtimes for a call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.report import run_in_words
from bench.results import Run
from bench.spreads import ratios, short, spread
from bench.tables import table

NATIVE = "native"


@dataclass(frozen=True)
class KernelTimed:
    """A runtime of a model in a round."""

    round: int
    model: str
    runtime: str
    rows: int  # of a call
    ms_a_call: float


@dataclass(frozen=True, kw_only=True)
class KernelResults(Run):
    timed: tuple[KernelTimed, ...]
    kind: str = "kernels"


def kernels_report(results: KernelResults) -> str:
    """The whole report, as Markdown."""
    return "\n".join([*_about(results), "", kernels_table(results)])


def kernels_table(results: KernelResults) -> str:
    """A line for each runtime of a model, a column for each call size."""
    sizes = sorted({one.rows for one in results.timed})
    pairs = list(dict.fromkeys((one.model, one.runtime) for one in results.timed))
    rows = [
        [
            model if runtime == NATIVE else "",
            runtime,
            *(_cell(results, model, runtime, size) for size in sizes),
        ]
        for model, runtime in pairs
    ]
    return table(["model", "runtime", *(f"{size:,} rows" for size in sizes)], rows)


def _cell(results: KernelResults, model: str, runtime: str, rows: int) -> str:
    """The native runtime's ms, and the speed-up of other runtimes."""
    native, own = (
        [one.ms_a_call for one in results.timed if (one.model, one.runtime, one.rows) == (model, name, rows)]
        for name in (NATIVE, runtime)
    )
    found = spread(own) if runtime == NATIVE or not own else ratios(native, own)
    if found is None:
        return "-"
    return f"{found.shown(short)} {'ms' if runtime == NATIVE else '×'}"


def _about(results: KernelResults) -> Iterator[str]:
    yield from run_in_words(results)
    rounds = 1 + max((one.round for one in results.timed), default=-1)
    yield (
        f"{rounds} interleaved rounds, median (least-most): of the native runtime ms a call, of what is "
        "compiled how many times as fast, round by round. One thread; every answer has the native one's bits."
    )
