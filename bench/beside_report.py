"""Online requests alone and beside a large job: the record of a run and its table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.report import NOTHING, run_in_words
from bench.results import Run
from bench.samples import Measured
from bench.spreads import Spread, ratios, short, spread
from bench.tables import table


@dataclass(frozen=True)
class BesideRound:
    """The same load without a job and beside a job, and the job alone."""

    round: int
    alone: Measured
    beside: Measured
    rows_per_s: float  # of the job, beside the load
    took_s: float  # from heartbeat to heartbeat while both ran
    online_s: float  # of the engine's time in it
    offline_s: float
    job_alone_rows_per_s: float

    @property
    def left_taken(self) -> float:
        """The job's share of the engine time not used by the online lane."""
        return self.offline_s / (self.took_s - self.online_s)

    @property
    def left_done(self) -> float:
        """The job's rows as a fraction of its rows alone in the engine time not used by the online lane."""
        return self.rows_per_s / (self.job_alone_rows_per_s * (1 - self.online_s / self.took_s))


@dataclass(frozen=True, kw_only=True)
class BesideResults(Run):
    """A model, a rate and a size of job."""

    model: str
    runtime: str  # auto, or native: no compiled runtime
    job_rows: int
    full_per_s: float  # answers a second of a closed loop of 64 connections
    rate: float  # offered requests a second
    rounds: tuple[BesideRound, ...]
    kind: str = "beside"

    @property
    def p99_ratios(self) -> Spread | None:
        """The p99 beside a job divided by the p99 alone, by round; None if either is missing."""
        alone = [one.alone.p99_ms for one in self.rounds if one.alone.p99_ms]
        beside = [one.beside.p99_ms for one in self.rounds if one.beside.p99_ms]
        return ratios(beside, alone) if len(alone) == len(beside) else None


def beside_report(results: BesideResults) -> str:
    """The whole report, as Markdown."""
    return "\n".join([*_about(results), "", beside_table(results)])


def beside_table(results: BesideResults) -> str:
    """Both turns: medians of the rounds with minimum and maximum in brackets; the ratio by round."""
    header = [
        "turn",
        "answers/s",
        "p50 ms",
        "p99 ms",
        "× alone's p99",
        "bad",
        "job rows/s",
        "of the time left",
        "of the rows of that time",
    ]
    alone, beside = [one.alone for one in results.rounds], [one.beside for one in results.rounds]
    rates = [one.rows_per_s for one in results.rounds]
    taken = _share(one.left_taken for one in results.rounds)
    done = _share(one.left_done for one in results.rounds)
    job_alone = _shown(spread(one.job_alone_rows_per_s for one in results.rounds))
    rows = [
        ["alone", *_times(alone), "1.0", _bad(alone), NOTHING, NOTHING, NOTHING],
        [
            *("beside a job", *_times(beside), _shown(results.p99_ratios), _bad(beside)),
            *(_shown(spread(rates)), taken, done),
        ],
        ["the job alone", *[NOTHING] * 5, job_alone, NOTHING, NOTHING],
    ]
    return table(header, rows)


def _share(values: Iterable[float]) -> str:
    found = spread(values)
    return found.shown("{:.0%}".format) if found else NOTHING


def _times(turns: Sequence[Measured]) -> list[str]:
    return [
        _shown(spread(one.rps for one in turns)),
        _shown(spread(one.p50_ms for one in turns)),
        _shown(spread(one.p99_ms for one in turns)),
    ]


def _bad(turns: Sequence[Measured]) -> str:
    return str(sum(one.bad for one in turns))


def _shown(values: Spread | None) -> str:
    return values.shown(short) if values else NOTHING


def _about(results: BesideResults) -> Iterator[str]:
    yield from run_in_words(results)
    yield (
        f"{results.model}, runtime {results.runtime}: {short(results.rate)} requests a second (open loop), "
        f"{results.rate / results.full_per_s:.0%} of the {short(results.full_per_s)} that a closed loop of "
        f"64 connections is answered; {len(results.rounds)} interleaved rounds, alone and beside a job of "
        f"{results.job_rows:,} rows. The last columns: the job's share of the engine's time that online "
        "left, and of the rows that it does alone in so much of the engine's time."
    )
