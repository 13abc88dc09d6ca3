"""Cost of work in each part: tables of shares, and the part that saturates first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.processes import REST
from bench.report import run_in_words
from bench.results import Run
from bench.spreads import short, spread
from bench.tables import table

QUEUE = "queue"
_MILLION = 1e6


@dataclass(frozen=True)
class Cost:
    """Cost of a kind of work in each part of an otherwise idle stack, in a round."""

    round: int
    work: str  # `64 connections`, or the format of the job's file
    count: int  # requests answered, or rows
    took_s: float
    cpu_s: Mapping[str, float]  # by part
    written_bytes: Mapping[str, int]  # by part, to disks
    received_bytes: int  # by the queue, from its clients
    sent_bytes: int

    def above(self, idle_cores: Mapping[str, float]) -> dict[str, float]:
        """CPU seconds by part, less the part's consumption at rest."""
        return {part: max(0.0, s - idle_cores.get(part, 0.0) * self.took_s) for part, s in self.cpu_s.items()}


@dataclass(frozen=True, kw_only=True)
class CostResults(Run):
    """A stack: `takt up` with a gateway and a worker."""

    model: str
    rounds: int
    idle_cores: Mapping[str, float]  # by part, at rest
    requests: tuple[Cost, ...]
    rows: tuple[Cost, ...]
    kind: str = "costs"


def costs_report(results: CostResults) -> str:
    """The whole report, as Markdown."""
    sections = list(_about(results))
    if results.requests:
        title = f"**{results.model}**, one row a request: CPU ms a request and its share, bytes a request"
        sections += ["", title, "", costs_table(results, results.requests, per=1, milli=True)]
    if results.rows:
        title = f"**{results.model}**, a job: CPU s a million rows and its share, bytes a row"
        sections += ["", title, "", costs_table(results, results.rows, per=_MILLION, milli=False)]
    return "\n".join(sections)


def costs_table(results: CostResults, costs: Sequence[Cost], *, per: float, milli: bool) -> str:
    """A line for each kind of work: medians of the rounds, CPU for `per` in ms if `milli`, else in s."""
    names = [*dict.fromkeys(part for cost in costs for part in cost.cpu_s if part != REST), REST]
    bytes_of = ("to the queue", "from it", "its log", "payloads")
    header = ["work", "CPU", *names, "full first, and the others then", *bytes_of]
    works = {
        work: [cost for cost in costs if cost.work == work] for work in dict.fromkeys(c.work for c in costs)
    }
    scale = per * (1000 if milli else 1)
    return table(header, [_line(work, rounds, results, names, scale) for work, rounds in works.items()])


def _line(
    work: str, rounds: Sequence[Cost], results: CostResults, names: Sequence[str], scale: float
) -> list[str]:
    each = [{part: s / cost.count for part, s in cost.above(results.idle_cores).items()} for cost in rounds]
    whole = spread(sum(one.values()) * scale for one in each)
    assert whole is not None
    parts = {name: median(one.get(name, 0.0) for one in each) for name in names}
    total = sum(parts.values())
    return [
        *(work, whole.shown(short)),
        *(f"{short(s * scale)} · {s / total:.0%}" for s in parts.values()),
        in_proportion({name: s for name, s in parts.items() if name != REST}),
        *_bytes(rounds),
    ]


def in_proportion(parts: Mapping[str, float]) -> str:
    """`gateway 1 : worker 0.33 : queue 0.08`: cores of each part when the busiest part uses a whole core."""
    busiest = max(parts.values())
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return " : ".join(f"{name} {short(s / busiest) if s < busiest else '1'}" for name, s in ordered)


def _bytes(rounds: Sequence[Cost]) -> list[str]:
    def each(figure: Callable[[Cost], float]) -> str:
        return short(median(figure(cost) / cost.count for cost in rounds))

    return [
        each(lambda cost: cost.received_bytes),
        each(lambda cost: cost.sent_bytes),
        each(lambda cost: cost.written_bytes.get(QUEUE, 0)),
        each(lambda cost: sum(n for part, n in cost.written_bytes.items() if part != QUEUE)),
    ]


def _about(results: CostResults) -> Iterator[str]:
    yield from run_in_words(results)
    idle = ", ".join(f"{part} {short(cores)}" for part, cores in results.idle_cores.items())
    yield (
        f"{results.rounds} interleaved rounds, median (least-most). CPU by psutil, user and system, less "
        f"what each part takes at rest (of a core: {idle}); bytes of the queue by its own count, the others "
        "by what the processes wrote to disks."
    )
