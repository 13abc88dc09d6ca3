"""Table of the effects of interpreter and library settings on a worker, as ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bench.report import NOTHING, run_in_words
from bench.results import Run
from bench.spreads import ratios, short
from bench.tables import table


@dataclass(frozen=True)
class Tuned:
    """A setting in a round: under both lanes, then under the online lane only."""

    round: int
    setting: str
    rows_per_s: float  # of a job, beside a moderate online load
    p50_ms: float  # of that load
    p99_ms: float
    answers_per_s: float  # of a closed loop without a job
    worker_cpu_ms: float  # for each answer of the closed loop


@dataclass(frozen=True, kw_only=True)
class TuningResults(Run):
    """A run. Ratios are relative to the first setting, an unchanged worker."""

    model: str
    settings: Mapping[str, str]  # descriptions by name
    rounds: tuple[Tuned, ...]
    kind: str = "tuning"


_FIGURES: Mapping[str, Callable[[Tuned], float]] = {
    "job rows/s": lambda one: one.rows_per_s,
    "p50 beside it": lambda one: one.p50_ms,
    "p99 beside it": lambda one: one.p99_ms,
    "answers/s, full": lambda one: one.answers_per_s,
    "worker's CPU an answer": lambda one: one.worker_cpu_ms,
}


def tuning_report(results: TuningResults) -> str:
    """The whole report, as Markdown."""
    return "\n".join([*_about(results), "", tuning_table(results)])


def tuning_table(results: TuningResults) -> str:
    """Ratios of every setting to the first, by round: median (minimum-maximum)."""
    base, *others = results.settings
    rows = [[name, *(_ratio(results, figure, name, base) for figure in _FIGURES.values())] for name in others]
    return table([f"× {base}", *_FIGURES], rows)


def _ratio(results: TuningResults, figure: Callable[[Tuned], float], name: str, base: str) -> str:
    of, to = ([figure(one) for one in results.rounds if one.setting == setting] for setting in (name, base))
    found = ratios(of, to)
    return found.shown(short) if found else NOTHING


def _about(results: TuningResults) -> Iterator[str]:
    yield from run_in_words(results)
    count = 1 + max((one.round for one in results.rounds), default=-1)
    yield (
        f"{results.model}; {count} interleaved rounds, ratios round by round, median (least-most). Each "
        "setting is a stack of its own, in whose worker alone it is set."
    )
    yield ", ".join(f"{name}: {words}" for name, words in results.settings.items()) + "."
