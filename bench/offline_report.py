"""Report and plots of a run with many rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from bench.offline_results import BARE, OfflineResults, Passage
from bench.plots import Line, Plot
from bench.report import NOTHING, run_in_words
from bench.spreads import Spread, ratios, short, spread
from bench.tables import table

_MIB = 2**20
_DRAWN_PARTS = ("gateway", "worker")
"""Parts in the memory plot. Other parts are small and flat; the table has their peaks."""


def offline_report(results: OfflineResults) -> str:
    """The whole report, as Markdown."""
    sections = [*_about(results), "", ways_table(results)]
    if results.skipped:
        sections += ["", *(f"{name} took no part: {reason}" for name, reason in results.skipped.items())]
    if results.rates:
        sections += ["", "The bare model by the size of a call, one process:", "", _rates_table(results)]
    return "\n".join(sections)


def ways_table(results: OfflineResults) -> str:
    """Every way: medians of the rounds with minimum and maximum in brackets."""
    header = ["way", "rows", "rows/s", f"× {BARE}", "CPU s a million rows, by part", "peak MiB, by part"]
    bare = [one.rows_per_s for one in results.of(BARE)]
    rows = []
    for way in results.ways:
        passages = results.of(way)
        rates = [one.rows_per_s for one in passages]
        ratio = NOTHING if way == BARE else _shown(ratios(rates, bare))
        rows.append(
            [
                *(way, f"{passages[0].rows:,}", _shown(spread(rates)), ratio),
                *(_by_part(passages, _cpu_s_a_million), _by_part(passages, _peak_mib)),
            ]
        )
    return table(header, rows)


def offline_plots(results: OfflineResults) -> dict[str, Plot]:
    """Plots by file stem: rows a second by call size, and memory over time."""
    model = results.model
    found = {
        f"memory-{model}": Plot(
            f"{model}: memory during a job, first round", "s", "MiB", tuple(_memory_lines(results))
        )
    }
    if results.rates:
        found[f"sizes-{model}"] = Plot(
            f"{model}: rows a second by the size of a call",
            "rows a call",
            "rows/s",
            tuple(_rate_lines(results)),
        )
    return found


def _rate_lines(results: OfflineResults) -> Iterator[Line]:
    """A line for the bare model and for each runtime of the worker."""
    for name, rates in {BARE: results.rates, **results.runtimes}.items():
        yield Line(name, tuple((float(one.rows_a_call), one.rows_per_s) for one in rates))


def _memory_lines(results: OfflineResults) -> Iterator[Line]:
    for way in results.ways:
        first = results.of(way)[0]
        for part in _DRAWN_PARTS:
            points = [
                (look.at_s, look.memory_bytes[part] / _MIB)
                for look in first.looks
                if part in look.memory_bytes
            ]
            if points and way.startswith("takt"):
                yield Line(f"{way}, {part}", tuple(points))


def _by_part(passages: Sequence[Passage], figure: Callable[[Passage, str], float]) -> str:
    """`gateway 0.50, worker 1.0`: medians."""
    parts = dict.fromkeys(part for one in passages for part in one.peak_bytes)
    return ", ".join(f"{part} {short(median(figure(one, part) for one in passages))}" for part in parts)


def _cpu_s_a_million(passage: Passage, part: str) -> float:
    return passage.cpu_s.get(part, 0.0) * 1e6 / passage.rows


def _peak_mib(passage: Passage, part: str) -> float:
    return passage.peak_bytes.get(part, 0) / _MIB


def _rates_table(results: OfflineResults) -> str:
    return table(
        ["rows a call", "rows/s"], [[f"{one.rows_a_call:,}", short(one.rows_per_s)] for one in results.rates]
    )


def _shown(values: Spread | None) -> str:
    return values.shown(short) if values else NOTHING


def _about(results: OfflineResults) -> Iterator[str]:
    yield from run_in_words(results)
    yield (
        f"{results.model}; {results.rounds} interleaved rounds, median (least-most), ratios by round. A "
        "job counts from its first byte sent to the last byte of its results read; a rival from the first "
        "request of 1,000 rows to the last answer, four at a time; the bare model has its rows in memory."
    )
