"""Table of a request's time by stage, with cells that add up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.report import run_in_words
from bench.results import Run, Stages
from bench.spreads import short, spread
from bench.tables import table


@dataclass(frozen=True, kw_only=True)
class StageResults(Run):
    """The stages of Takt under closed loops: a record for each round, model and number of connections."""

    rounds: int
    stages: tuple[Stages, ...]
    kind: str = "stages"


def stages_report(results: StageResults) -> str:
    """The whole report, as Markdown."""
    sections = list(_about(results))
    for model in dict.fromkeys(one.model for one in results.stages):
        found = [one for one in results.stages if one.model == model]
        sections += ["", f"**{model}**, ms and share of the whole", "", shares_table(found)]
    return "\n".join(sections)


def shares_table(stages: Sequence[Stages]) -> str:
    """A line for each number of connections: means over all rounds' answers, which add up to `whole`."""
    names = list(dict.fromkeys(name for one in stages for name in one.stages_ms))
    header = ["connections", "rows a batch", *names, "rest", "whole", "rest, by rounds"]
    counts = dict.fromkeys(one.connections for one in stages)
    return table(header, [_line([one for one in stages if one.connections == n], names) for n in counts])


def _line(rounds: Sequence[Stages], names: Sequence[str]) -> list[str]:
    mean = mean_of(rounds)
    times_ms = [*(mean.stages_ms.get(name, 0.0) for name in names), mean.rest_ms]
    rest = spread(one.rest_ms / one.whole_ms for one in rounds)
    return [
        *(str(mean.connections), short(mean.batch_rows)),
        *(f"{short(ms)} · {ms / mean.whole_ms:.0%}" for ms in times_ms),
        short(mean.whole_ms),
        rest.shown("{:.0%}".format) if rest else "-",
    ]


def mean_of(rounds: Sequence[Stages]) -> Stages:
    """Merge the rounds of a load: means over all answers."""
    answers = sum(one.answers for one in rounds)

    def mean(figures: Iterator[float]) -> float:
        return sum(f * one.answers for f, one in zip(figures, rounds, strict=True)) / answers

    first = rounds[0]
    return Stages(
        model=first.model,
        rival=first.rival,
        connections=first.connections,
        answers=answers,
        whole_ms=mean(one.whole_ms for one in rounds),
        batch_rows=mean(one.batch_rows for one in rounds),
        stages_ms={name: mean(one.stages_ms[name] for one in rounds) for name in first.stages_ms},
    )


def _about(results: StageResults) -> Iterator[str]:
    yield from run_in_words(results)
    yield (
        f"Means of one connection among so many, {results.rounds} rounds; stages by Server-Timing, `whole` "
        "by the client, `rest` what the stages leave of it: HTTP in uvicorn, the kernel's sockets and the "
        "client itself."
    )
