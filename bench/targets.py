"""`python -m bench.targets FILE.json …`: Takt's performance targets and the figures of stored runs.

For each target the last file with a matching figure counts. All figures are ratios within one run, by round:
median (minimum-maximum).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.beside_report import BesideResults
from bench.jobs_report import JobsResults
from bench.offline_results import BARE, OfflineResults
from bench.results import Results, Run
from bench.spreads import Spread, ratios, short, spread
from bench.stored_runs import decoded, replaced
from bench.tables import table

AT = "targets"
_RIVAL_WAYS = ("celery_tasks", "litserve", "bentoml", "mlserver", "ray_serve", "mosec")

Figure = Callable[[Run], Spread | None]
"""Reads a target's figure from a run; None: the run has no such figure."""


@dataclass(frozen=True)
class Target:
    """A target. `bound` is the minimum or the maximum of the figure."""

    about: str
    bound: float
    figure: Figure
    at_most: bool = False

    def met(self, seen: Spread) -> bool:
        """Whether the median meets the bound."""
        return seen.median <= self.bound if self.at_most else seen.median >= self.bound


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.targets", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.json")
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help=f"page whose {AT} to update")
    given = parser.parse_args(words)
    try:
        text = targets_table([decoded(file.read_bytes()) for file in given.files])
        if given.into is None:
            print(text)
        else:
            given.into.write_text(replaced(given.into.read_text(), text, AT))
    except (OSError, ValueError) as error:
        print(f"bench.targets: {error}", file=sys.stderr)
        return 1
    return 0


def targets_table(runs: Sequence[Run]) -> str:
    """Every target, with or without a measurement."""
    rows = [[one.about, _bound(one), *_judged(one, runs)] for one in TARGETS]
    return table(["figure", "target", "measured", "rounds", "verdict"], rows)


def _bound(target: Target) -> str:
    return f"{'≤' if target.at_most else '≥'} {target.bound:g}"


def _judged(target: Target, runs: Sequence[Run]) -> list[str]:
    """The measured figure, the number of rounds and the verdict."""
    for run in reversed(runs):
        if (seen := target.figure(run)) is not None:
            return [seen.shown(short), str(_rounds(run)), "met" if target.met(seen) else "**missed**"]
    return ["-", "-", "not measured"]


def _rounds(run: Run) -> int:
    match run:
        case Results():
            return run.plan.rounds
        case OfflineResults():
            return run.rounds
        case JobsResults():
            return len(run.of(run.rivals[0]))
        case BesideResults():
            return len(run.rounds)
    return 0


# -- figures of a run --------------------------------------------------------------------------------------


def _rps(rival: str, model: str, connections: int, taken: str = "takt") -> Figure:
    """Takt's answers a second divided by a rival's."""

    def figure(run: Run) -> Spread | None:
        if not isinstance(run, Results):
            return None
        of, to = ([r.measured.rps for r in run.of(model, name, connections)] for name in (taken, rival))
        return ratios(of, to) if of and len(of) == len(to) else None

    return figure


def _p50(rival: str, model: str, connections: int, taken: str = "takt") -> Figure:
    """Takt's p50 divided by a rival's, without rounds in which either has no answers."""

    def figure(run: Run) -> Spread | None:
        if not isinstance(run, Results):
            return None
        pairs = zip(run.of(model, taken, connections), run.of(model, rival, connections), strict=False)
        times = [(a.measured.p50_ms, b.measured.p50_ms) for a, b in pairs]
        return spread(a / b for a, b in times if a and b)

    return figure


def _jobs(rival: str) -> Figure:
    """Takt's jobs a second divided by a rival's."""

    def figure(run: Run) -> Spread | None:
        if not isinstance(run, JobsResults):
            return None
        of, to = ([one.jobs_per_s for one in run.of(name)] for name in ("takt", rival))
        return ratios(of, to) if of and len(of) == len(to) else None

    return figure


def _bare(form: str, rows: int) -> Figure:
    """Rows a second of a job with this number of rows, divided by the bare model's."""

    def figure(run: Run) -> Spread | None:
        return _ways(run, f"takt {form}", BARE, rows) if isinstance(run, OfflineResults) else None

    return figure


def _best_way(rows: int) -> Figure:
    """Rows a second of Takt's best format divided by those of the run's fastest rival."""

    def figure(run: Run) -> Spread | None:
        if not isinstance(run, OfflineResults):
            return None
        takt = _fastest(run, [way for way in run.ways if way.startswith("takt ")])
        rival = _fastest(run, [way for way in run.ways if way in _RIVAL_WAYS])
        return _ways(run, takt, rival, rows) if takt and rival else None

    return figure


def _fastest(run: OfflineResults, ways: Sequence[str]) -> str | None:
    """Median rows a second of a way."""

    def rate(way: str) -> float:
        seen = spread(one.rows_per_s for one in run.of(way))
        return seen.median if seen else 0.0

    return max(ways, key=rate, default=None)


def _ways(run: OfflineResults, of: str, to: str, rows: int) -> Spread | None:
    """None if the run has another model or another number of rows."""
    mine, other = run.of(of), run.of(to)
    if run.model != "iris" or not mine or mine[0].rows != rows or len(mine) != len(other):
        return None
    return ratios([one.rows_per_s for one in mine], [one.rows_per_s for one in other])


def _beside(of: Callable[[BesideResults], Spread | None]) -> Figure:
    def figure(run: Run) -> Spread | None:
        return of(run) if isinstance(run, BesideResults) and run.runtime == "auto" else None

    return figure


def _left_taken(run: BesideResults) -> Spread | None:
    return spread(one.left_taken for one in run.rounds)


_MILLION, _TEN_MILLION = 1_000_000, 10_000_000

TARGETS = (
    Target("iris, 1 connection: p50 ÷ guide's", 0.25, _p50("guide", "iris", 1), at_most=True),
    Target("iris, 64 connections: req/s ÷ guide's", 40, _rps("guide", "iris", 64)),
    Target("iris, 64: req/s ÷ LitServe's", 2, _rps("litserve", "iris", 64)),
    Target("iris, 64: req/s ÷ BentoML's", 2, _rps("bentoml", "iris", 64)),
    Target("iris, 64: req/s ÷ mosec's", 0.8, _rps("mosec", "iris", 64)),
    Target("iris, 64: req/s ÷ one Celery task a request", 20, _rps("celery_tasks", "iris", 64)),
    Target("classifier, 64: req/s ÷ guide's", 1.3, _rps("guide", "classifier", 64)),
    Target("iris, 64, native, req/s ÷ guide's", 40, _rps("guide", "iris", 64, "takt_native")),
    Target("iris, 64, with API keys: req/s ÷ guide's", 40, _rps("guide", "iris", 64, "takt_keys")),
    Target("iris, 64, with API keys: req/s ÷ mosec's", 0.8, _rps("mosec", "iris", 64, "takt_keys")),
    Target(
        "iris, 1, with API keys: p50 ÷ guide's", 0.25, _p50("guide", "iris", 1, "takt_keys"), at_most=True
    ),
    Target("jobs of one row, 16 connections: jobs/s ÷ Ray's", 10, _jobs("ray_tasks")),
    Target("1,000,000 rows: rows/s ÷ the best rival's", 4, _best_way(_MILLION)),
    Target("1,000,000 rows, Arrow, rows/s ÷ in-process", 0.8, _bare("arrow", _MILLION)),
    Target("1,000,000 rows, Parquet, rows/s ÷ in-process", 0.8, _bare("parquet", _MILLION)),
    Target("1,000,000 rows, CSV, rows/s ÷ in-process", 0.75, _bare("csv", _MILLION)),
    Target("10,000,000 rows, Arrow, rows/s ÷ in-process", 0.9, _bare("arrow", _TEN_MILLION)),
    Target("10,000,000 rows, Parquet, rows/s ÷ in-process", 0.9, _bare("parquet", _TEN_MILLION)),
    Target("p99 beside a job ÷ p99 alone, 30 % load", 3, _beside(lambda run: run.p99_ratios), at_most=True),
    Target("job's engine time ÷ what online leaves", 0.8, _beside(_left_taken)),
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
