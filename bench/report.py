"""Report of a run: tables of the rivals, times by stage, and the conditions of the measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.plots import Line, Plot
from bench.results import Machine, Results, Round, Run, Stages
from bench.spreads import Spread, ratios, short, spread
from bench.tables import table

NOTHING = "-"


def report(results: Results) -> str:
    """The whole report, as Markdown."""
    sections = list(_about(results))
    for model in results.plan.models:
        sections += ["", f"**{model}**, closed loop", "", rivals_table(results, model)]
        if results.plan.rates:
            sections += ["", f"**{model}**, open loop", "", rates_table(results, model)]
    if remarks := list(_remarks(results)):
        sections += ["", *remarks]  # Markdown reads a line directly below a table as a row
    for model in results.plan.models:
        if stages := [one for one in results.stages if one.model == model]:
            sections += ["", *_stages_heading(results, model), "", stages_table(stages)]
    return "\n".join(sections)


def rivals_table(results: Results, model: str) -> str:
    """Every rival under every closed loop: medians of the rounds with minimum and maximum in brackets."""
    base = results.plan.rivals[0]
    times = ("p50 ms", "p99 ms", "CPU cores", "CPU ms a request")
    header = ["connections", "rival", "req/s", f"× {base}", *times, "MiB", "bad"]
    rows = [
        [str(connections), rival, *_figures(results, model, rival, connections)]
        for connections in results.plan.connections
        for rival in results.plan.rivals
    ]
    return table(header, rows)


def _figures(results: Results, model: str, rival: str, connections: int) -> list[str]:
    rounds = results.of(model, rival, connections)
    base = results.plan.rivals[0]
    base_rps = [r.measured.rps for r in results.of(model, base, connections)]
    rps = [r.measured.rps for r in rounds]
    return [
        _shown(spread(rps)),
        NOTHING if rival == base else _shown(ratios(rps, base_rps)),
        *_times(rounds),
        _median_of(rounds, lambda r: sum(r.cpu_cores.values())),
        _shown(spread(r.cpu_ms_a_request for r in rounds)),
        _median_of(rounds, lambda r: sum(r.memory_bytes.values()) / 2**20),
        str(sum(r.measured.bad for r in rounds)),
    ]


def rates_table(results: Results, model: str) -> str:
    """Latency against rate: every rival under every open loop."""
    header = ["rate/s", "rival", "answered", "p50 ms", "p99 ms", "CPU cores", "bad"]
    rows = [
        [short(rate), rival, *_rate_figures(results.of(model, rival, 0, rate))]
        for rate in results.plan.rates
        for rival in results.plan.rivals
    ]
    return table(header, rows)


def _rate_figures(rounds: Sequence[Round]) -> list[str]:
    good, bad = (
        sum(figures) for figures in zip(*((r.measured.good, r.measured.bad) for r in rounds), strict=True)
    )
    return [
        f"{good / max(1, good + bad):.0%}",
        *_times(rounds),
        _median_of(rounds, lambda r: sum(r.cpu_cores.values())),
        str(bad),
    ]


def _times(rounds: Sequence[Round]) -> list[str]:
    """p50 and p99, marked if they are lower bounds."""
    bound = "" if all(r.measured.steady for r in rounds) else "≥ "
    return [
        _shown(spread(r.measured.p50_ms for r in rounds), bound),
        _shown(spread(r.measured.p99_ms for r in rounds), bound),
    ]


def _shown(values: Spread | None, bound: str = "") -> str:
    return f"{bound}{values.shown(short)}" if values else NOTHING


def _median_of(rounds: Sequence[Round], figure: Callable[[Round], float]) -> str:
    values = spread(figure(r) for r in rounds)
    return short(values.median) if values else NOTHING


def _remarks(results: Results) -> Iterator[str]:
    """Notes on figures of this run that need an explanation."""
    if not all(r.measured.steady for r in results.rounds):
        yield (
            "≥: in a closed loop some requests waited longer than the warm-up, in an open one some were not "
            "answered; the real times are longer than those shown."
        )
    if bad := sum(r.measured.bad for r in results.rounds):
        yield f"bad: {bad} requests were not answered with 2xx, so these rows compare more than speed."
    for rival, reason in results.skipped.items():
        yield f"{rival} took no part, for it cannot be installed here: {reason}"


# -- times by stage ----------------------------------------------------------------------------------------


def stages_table(stages: Sequence[Stages]) -> str:
    """Means in ms; `whole` is measured by the client, `rest` is `whole` less all stages."""
    names = list(dict.fromkeys(name for one in stages for name in one.stages_ms))
    header = ["connections", "rival", "rows a batch", *names, "rest", "whole"]
    rows = [
        [
            *(str(one.connections), one.rival, short(one.batch_rows)),
            *(short(one.stages_ms[name]) if name in one.stages_ms else NOTHING for name in names),
            short(one.rest_ms),
            short(one.whole_ms),
        ]
        for one in stages
    ]
    return table(header, rows)


def _stages_heading(results: Results, model: str) -> Iterator[str]:
    yield f"Where the time of {model} goes, in ms: means of one connection among so many (Server-Timing)."
    yield ""
    yield from _parts_in_words(results, model)


def _parts_in_words(results: Results, model: str) -> Iterator[str]:
    """CPU and memory by part for rivals with several parts, under the largest number of connections."""
    most = max(results.plan.connections)
    for rival in results.plan.rivals:
        rounds = results.of(model, rival, most)
        parts = list(dict.fromkeys(part for r in rounds for part in r.cpu_cores))
        if len(parts) > 1:
            cores = ", ".join(f"{part} {_median_of(rounds, _cores(part))}" for part in parts)
            mib = ", ".join(f"{part} {_median_of(rounds, _mib(part))}" for part in parts)
            yield f"- {rival} at {most} connections, CPU cores: {cores}; MiB: {mib}."


def _cores(part: str) -> Callable[[Round], float]:
    return lambda r: r.cpu_cores.get(part, 0.0)


def _mib(part: str) -> Callable[[Round], float]:
    return lambda r: r.memory_bytes.get(part, 0) / 2**20


# -- plots -------------------------------------------------------------------------------------------------


def report_plots(results: Results) -> dict[str, Plot]:
    """Plots by file stem: each model's latency by answers a second, and by offered rate."""
    found = {}
    for model in results.plan.models:
        found[f"load-{model}"] = Plot(
            f"{model}: p50 against answers a second, by connections",
            "req/s",
            "ms",
            _load_lines(results, model),
        )
        if results.plan.rates:
            found[f"rates-{model}"] = Plot(
                f"{model}: p99 against the rate that is asked", "req/s", "ms", _rate_lines(results, model)
            )
    return found


def _load_lines(results: Results, model: str) -> tuple[Line, ...]:
    def point(rival: str, connections: int) -> tuple[float, float] | None:
        rounds = results.of(model, rival, connections)
        rps, p50_ms = spread(r.measured.rps for r in rounds), spread(r.measured.p50_ms for r in rounds)
        return (rps.median, p50_ms.median) if rps and p50_ms else None

    plan = results.plan
    points = {rival: [point(rival, connections) for connections in plan.connections] for rival in plan.rivals}
    return tuple(Line(rival, tuple(p for p in found if p)) for rival, found in points.items())


def _rate_lines(results: Results, model: str) -> tuple[Line, ...]:
    def point(rival: str, rate: float) -> tuple[float, float] | None:
        p99_ms = spread(r.measured.p99_ms for r in results.of(model, rival, 0, rate))
        return (rate, p99_ms.median) if p99_ms else None

    plan = results.plan
    points = {rival: [point(rival, rate) for rate in plan.rates] for rival in plan.rivals}
    return tuple(Line(rival, tuple(p for p in found if p)) for rival, found in points.items())


# -- conditions of the measurement -------------------------------------------------------------------------


def _about(results: Results) -> Iterator[str]:
    def span(seconds: Callable[[int], float]) -> str:
        shortest, longest = seconds(min(plan.connections)), seconds(max(plan.connections))
        return f"{shortest:.3g} s" if shortest == longest else f"{shortest:.3g} to {longest:.3g} s"

    plan = results.plan
    yield from run_in_words(results)
    others = spread(r.others_cores for r in results.rounds)
    yield f"Cores that other programs took during the turns: {_shown(others)}."
    yield (
        f"One row a request, closed loop by {results.load}; {plan.rounds} interleaved rounds of "
        f"{span(plan.measured_for_s)} after {span(plan.warm_up_for_s)} of warm-up. Median (least-most); "
        "ratios are taken round by round."
    )


def run_in_words(run: Run) -> Iterator[str]:
    """Command, time and machine of the run."""
    yield f"`{run.command}` at {run.began_at}, {run.took_s:.0f} s."
    yield from machine_in_words(run.machine)


def machine_in_words(machine: Machine) -> Iterator[str]:
    """Machine and versions of the run."""
    yield (
        f"{machine.cores} cores ({machine.processor}), {machine.system}; load average before: "
        f"{machine.load_before:.1f}. The load runs on the same cores."
    )
    yield f"{', '.join(f'{name} {version}' for name, version in machine.versions.items())}."
