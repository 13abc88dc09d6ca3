"""Two checkouts side by side: the record of a run and its table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bench.processes import REST
from bench.report import run_in_words
from bench.results import Run
from bench.spreads import ratios, short, spread
from bench.tables import table

HERE, OTHER = "here", "other"
WHOLE = "whole stack"
PER_S = "a second"


@dataclass(frozen=True)
class CheckoutRound:
    """A stack under a load in a round."""

    round: int
    load: str
    checkout: str  # HERE or OTHER
    count: int  # answered requests, or jobs whose result was read
    per_s: float
    cpu_s: Mapping[str, float]  # by part

    def cpu_us(self, part: str) -> float:
        """CPU time a request or job, in µs."""
        seconds = sum(self.cpu_s.values()) if part == WHOLE else self.cpu_s.get(part, 0.0)
        return seconds / self.count * 1e6


@dataclass(frozen=True, kw_only=True)
class CheckoutResults(Run):
    """The stacks of this checkout and of another. Ratios are this checkout's figures over the other's."""

    other: str  # the other checkout's commit
    here: str
    model: str
    rounds: tuple[CheckoutRound, ...]
    gateways: int = 1  # processes of this checkout's stack; the other has one
    kind: str = "checkouts"

    def of(self, load: str, checkout: str) -> list[CheckoutRound]:
        """The rounds of a stack under a load, in order."""
        return [one for one in self.rounds if (one.load, one.checkout) == (load, checkout)]


def checkouts_report(results: CheckoutResults) -> str:
    """The whole report, as Markdown."""
    title = f"**{results.model}**, {_here(results)} beside {results.other}"
    return "\n".join([*_about(results), "", title, "", checkouts_table(results)])


def checkouts_table(results: CheckoutResults) -> str:
    """A line for each load and figure."""
    loads = dict.fromkeys(one.load for one in results.rounds)
    header = ["load", "figure", results.other, _here(results), "×"]
    return table(header, [line for load in loads for line in _lines(results, load)])


def _here(results: CheckoutResults) -> str:
    return f"{results.here}, {results.gateways} gateways" if results.gateways > 1 else results.here


def _lines(results: CheckoutResults, load: str) -> Iterator[list[str]]:
    parts = dict.fromkeys(part for one in results.of(load, HERE) for part in one.cpu_s if part != REST)
    for part in (*parts, WHOLE):
        yield [load, f"CPU µs, {part}", *_compared(results, load, lambda one, part=part: one.cpu_us(part))]  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    yield [load, PER_S, *_compared(results, load, lambda one: one.per_s)]


def _compared(results: CheckoutResults, load: str, figure: Callable[[CheckoutRound], float]) -> list[str]:
    """The figure there, here, and its ratio."""
    there, here = ([figure(one) for one in results.of(load, name)] for name in (OTHER, HERE))
    shown = (spread(there), spread(here))
    ratio = ratios(here, there)
    return [*("" if one is None else one.shown(short) for one in shown), ratio.shown(_two) if ratio else ""]


def _two(value: float) -> str:
    return f"{value:.2f}"


def _about(results: CheckoutResults) -> Iterator[str]:
    yield from run_in_words(results)
    yield (
        "Two stacks (`takt up`, one worker each) at the same time, loaded in turns; median (least-most) of "
        "interleaved rounds, and ratios by round. CPU by psutil, user and system, a request or a job; it "
        "depends less than the rate on other programs of the machine."
    )
