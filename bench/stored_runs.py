"""Storage of runs as JSON files, and their reports and plots in documents.

`python -m bench report FILE.json … [--into bench/measurements.md [--at online]]`
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from bench.beside_report import BesideResults, beside_report
from bench.checkouts_report import CheckoutResults, checkouts_report
from bench.commands import say
from bench.costs_report import CostResults, costs_report
from bench.jobs_report import JobsResults, jobs_report
from bench.kernels_report import KernelResults, kernels_report
from bench.offline_report import offline_plots, offline_report
from bench.offline_results import OfflineResults
from bench.plots import Plot, svg
from bench.report import report, report_plots
from bench.results import Results, Run
from bench.simulation.report import SimulationResults, simulation_report
from bench.stages_report import StageResults, stages_report
from bench.studies.gpu_report import GpuResults, gpu_plots, gpu_report
from bench.studies.tuning_report import TuningResults, tuning_report
from bench.subjects import ROOT

IMAGES = "images/benchmarks"
_FEW_POINTS = 2
RESULTS = ROOT / "bench" / "results"
BEGIN = "<!-- {}: `python -m bench report` writes from here -->"
END = "<!-- to here -->"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench report", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.json")
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="page to update with these runs")
    parser.add_argument("--at", metavar="NAME", help="name of the marks on that page (the first run's kind)")
    given = parser.parse_args(words)
    try:
        runs = [decoded(file.read_bytes()) for file in given.files]
        if given.into is None:
            print("\n\n".join(map(reported, runs)))
        else:
            place(runs, given.into, given.at or runs[0].kind)
    except (OSError, ValueError) as error:
        print(f"bench report: {error}", file=sys.stderr)
        return 1
    return 0


def report_and_keep(results: Run, chosen: Path | None) -> None:
    """Print the report to standard output, and store the run in a file."""
    print(f"\n{reported(results)}")
    say(f"results: {keep(results, chosen)}")


def keep(results: Run, chosen: Path | None) -> Path:
    """Write a run and its plots. Returns the JSON file; the plots lie beside it, prefixed with its name."""
    stamp = results.began_at.replace(":", "").partition("+")[0]
    path = chosen or RESULTS / f"{stamp}-{results.kind}-{platform.node() or 'host'}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    for name, plot in _KINDS[results.kind].plots(results).items():
        path.with_name(f"{path.stem}-{name}.svg").write_text(svg(plot))
    return path


def place(runs: Sequence[Run], page: Path, at: str) -> None:
    """Write the runs' reports between the marks of this name, and their plots as images beside the page.

    Raises ValueError if the page has no such marks.
    """
    stems = (at if number == 1 else f"{at}-{number}" for number in count(1))
    texts = [
        "\n\n".join([reported(run), *_drawn(run, page, stem)]) for run, stem in zip(runs, stems, strict=False)
    ]
    page.write_text(replaced(page.read_text(), "\n\n".join(texts), at))


def _drawn(run: Run, page: Path, stem: str) -> Iterator[str]:
    """The run's plots for the page, without plots of two points, whose figures are in the table."""
    for name, plot in _KINDS[run.kind].plots(run).items():
        if max((len(line.points) for line in plot.lines), default=0) <= _FEW_POINTS:
            continue
        file = page.parent / IMAGES / f"{stem}-{name}.svg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(svg(plot))
        yield f"![{plot.title}]({IMAGES}/{file.name})"


def reported(run: Run) -> str:
    return _KINDS[run.kind].report(run)


def decoded(kept: bytes) -> Run:
    """Read a stored run by its kind. Raises ValueError if the file is not a run."""
    name = msgspec.json.decode(kept, type=_Named).kind
    if name not in _KINDS:
        raise ValueError(f"unknown kind of run {name!r}; available: {', '.join(_KINDS)}")
    return msgspec.json.decode(kept, type=_KINDS[name].record)


class _Named(msgspec.Struct):
    """The part of a file that names its kind."""

    kind: str


@dataclass(frozen=True)
class _Kind:
    """A kind of run. Any: the record of that kind."""

    record: type[Run]
    report: Callable[[Any], str]
    plots: Callable[[Any], dict[str, Plot]] = lambda _: {}


_KINDS: Mapping[str, _Kind] = {
    "online": _Kind(Results, report, report_plots),
    "offline": _Kind(OfflineResults, offline_report, offline_plots),
    "beside": _Kind(BesideResults, beside_report),
    "gpu": _Kind(GpuResults, gpu_report, gpu_plots),
    "jobs": _Kind(JobsResults, jobs_report),
    "stages": _Kind(StageResults, stages_report),
    "costs": _Kind(CostResults, costs_report),
    "checkouts": _Kind(CheckoutResults, checkouts_report),
    "kernels": _Kind(KernelResults, kernels_report),
    "tuning": _Kind(TuningResults, tuning_report),
    "simulation": _Kind(SimulationResults, simulation_report),
}


def replaced(page: str, runs: str, name: str) -> str:
    """The page with the text between the marks replaced. Raises ValueError if it has no such marks."""
    begin = BEGIN.format(name)
    before, began, rest = page.partition(begin)
    _, ended, after = rest.partition(END)
    if not (began and ended):
        raise ValueError(f"the page has no {begin} … {END}")
    return f"{before}{begin}\n\n{runs}\n\n{END}{after}"
