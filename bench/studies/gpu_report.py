"""Latency by batch size on a device: the record of a run, its table and its plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from bench.plots import Line, Plot
from bench.report import NOTHING, run_in_words
from bench.results import Run
from bench.spreads import short, spread
from bench.tables import table


@dataclass(frozen=True)
class Call:
    """Calls of a size in a round."""

    round: int
    precision: str
    way: str  # way of copying the rows, see bench.studies.gpu
    rows: int
    took_s: tuple[float, ...]

    @property
    def name(self) -> str:
        return f"{self.precision}, {self.way}"

    @property
    def ms(self) -> float:
        return median(self.took_s) * 1000

    @property
    def rows_per_s(self) -> float:
        return self.rows / median(self.took_s)


@dataclass(frozen=True, kw_only=True)
class GpuResults(Run):
    """A run with a model on a device, called in the run's own process."""

    model: str
    device: str
    device_name: str
    calls: tuple[Call, ...]
    kind: str = "gpu"

    @property
    def names(self) -> list[str]:
        """Precisions and ways, in the order of measurement."""
        return list(dict.fromkeys(call.name for call in self.calls))

    @property
    def sizes(self) -> list[int]:
        return sorted({call.rows for call in self.calls})


def gpu_report(results: GpuResults) -> str:
    """The whole report, as Markdown."""
    about = " ".join(run_in_words(results))
    where = f"{results.model} on {results.device}"
    if results.device_name:
        where += f" ({results.device_name})"
    return "\n".join(
        [
            f"{about} {where}.",
            *("", "A call in ms, median of the rounds (least-most):", "", gpu_table(results, lambda c: c.ms)),
            *("", "Rows a second:", "", gpu_table(results, lambda c: c.rows_per_s)),
        ]
    )


def gpu_table(results: GpuResults, figure: Callable[[Call], float]) -> str:
    """A row for each size, a column for each precision and way."""
    names = results.names
    rows = [[f"{size:,}", *_cells(results, size, figure)] for size in results.sizes]
    return table(["rows", *names], rows)


def gpu_plots(results: GpuResults) -> dict[str, Plot]:
    """Plots for each precision: latency of a call, and rows a second, by rows of a call."""
    plots = {}
    for precision in dict.fromkeys(call.precision for call in results.calls):
        plots[f"{precision}-latency"] = _plot(results, precision, "ms", lambda call: call.ms)
        plots[f"{precision}-rows"] = _plot(results, precision, "rows/s", lambda call: call.rows_per_s)
    return plots


def _plot(results: GpuResults, precision: str, unit: str, figure: Callable[[Call], float]) -> Plot:
    """A line for each way."""

    def points(name: str) -> Iterator[tuple[float, float]]:
        for size in results.sizes:
            if found := spread(_figures(results, name, size, figure)):
                yield float(size), found.median

    names = {call.name: call.way for call in results.calls if call.precision == precision}
    lines = tuple(Line(way, tuple(points(name))) for name, way in names.items())
    return Plot(f"{results.model} on {results.device}, {precision}", "rows of a call", unit, lines)


def _cells(results: GpuResults, size: int, figure: Callable[[Call], float]) -> Iterator[str]:
    for name in results.names:
        found = spread(_figures(results, name, size, figure))
        yield found.shown(short) if found else NOTHING


def _figures(results: GpuResults, name: str, size: int, figure: Callable[[Call], float]) -> list[float]:
    return [figure(call) for call in results.calls if (call.name, call.rows) == (name, size)]
