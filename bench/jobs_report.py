"""Single-row jobs on several services: the record of a run and its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.report import NOTHING, run_in_words
from bench.results import Run
from bench.spreads import Spread, ratios, short, spread
from bench.tables import table


@dataclass(frozen=True)
class JobsRound:
    """A rival's jobs in a round."""

    round: int
    rival: str
    jobs: int
    jobs_per_s: float  # from the first request to the last result read
    accepted_per_s: float
    p50_ms: float  # from a job's request until its result is read
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class JobsResults(Run):
    """Rounds of all rivals. Ratios are relative to the first rival."""

    connections: int
    rivals: tuple[str, ...]
    rounds: tuple[JobsRound, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    kind: str = "jobs"

    def of(self, rival: str) -> list[JobsRound]:
        """The rounds of a rival, in order."""
        return [one for one in self.rounds if one.rival == rival]


def jobs_report(results: JobsResults) -> str:
    """The whole report, as Markdown."""
    sections = [*_about(results), "", jobs_table(results)]
    if results.skipped:
        sections += ["", *(f"{name} took no part: {reason}" for name, reason in results.skipped.items())]
    return "\n".join(sections)


def jobs_table(results: JobsResults) -> str:
    """Every rival: medians of the rounds with minimum and maximum in brackets; ratios by round."""
    base = results.rivals[0]
    header = ["rival", "jobs", "jobs/s", f"× {base}", "accepted/s", "p50 ms to the result", "p99 ms"]
    base_rates = [one.jobs_per_s for one in results.of(base)]
    rows = []
    for rival in results.rivals:
        rounds = results.of(rival)
        rates = [one.jobs_per_s for one in rounds]
        ratio = NOTHING if rival == base else _shown(ratios(rates, base_rates))
        rows.append([rival, f"{rounds[0].jobs:,}", _shown(spread(rates)), ratio, *_times(rounds)])
    return table(header, rows)


def _times(rounds: Sequence[JobsRound]) -> list[str]:
    return [
        _shown(spread(one.accepted_per_s for one in rounds)),
        _shown(spread(one.p50_ms for one in rounds)),
        _shown(spread(one.p99_ms for one in rounds)),
    ]


def _shown(values: Spread | None) -> str:
    return values.shown(short) if values else NOTHING


def _about(results: JobsResults) -> Iterator[str]:
    yield from run_in_words(results)
    count = len(results.of(results.rivals[0]))
    yield (
        f"iris, jobs of one row from {results.connections} connections: all sent as fast as they can, then "
        f"read as they end; {count} interleaved rounds, median (least-most), ratios by round."
    )
