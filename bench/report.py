"""Results → words: the table of rivals, where the time goes, and what the figures come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.results import Results, Round, Stages
from bench.spreads import Spread, ratios, short, spread
from bench.tables import table

NOTHING = "-"


def report(results: Results) -> str:
    """The whole report, as Markdown."""
    sections = [*_about(results), "", rivals_table(results)]
    if remarks := list(_remarks(results)):
        sections += ["", *remarks]  # a line right below a table would be a row of it
    if results.stages:
        sections += ["", *_stages_heading(results), "", stages_table(results.stages)]
    return "\n".join(sections)


def rivals_table(results: Results) -> str:
    """Every rival under every load: medians of the rounds, least and most in brackets."""
    base = results.plan.rivals[0]
    times = ("p50 ms", "p99 ms", "CPU cores", "CPU ms a request")
    header = ["connections", "rival", "req/s", f"× {base}", *times, "MiB", "bad"]
    rows = [
        [str(connections), rival, *_figures(results, rival, connections)]
        for connections in results.plan.connections
        for rival in results.plan.rivals
    ]
    return table(header, rows)


def _figures(results: Results, rival: str, connections: int) -> list[str]:
    rounds = results.of(rival, connections)
    base = results.plan.rivals[0]
    base_rps = [r.measured.rps for r in results.of(base, connections)]
    rps = [r.measured.rps for r in rounds]
    bound = "" if all(r.measured.steady for r in rounds) else "≥ "
    return [
        _shown(spread(rps)),
        NOTHING if rival == base else _shown(ratios(rps, base_rps)),
        _shown(spread(r.measured.p50_ms for r in rounds), bound),
        _shown(spread(r.measured.p99_ms for r in rounds), bound),
        _median_of(rounds, lambda r: sum(r.cpu_cores.values())),
        _shown(spread(r.cpu_ms_a_request for r in rounds)),
        _median_of(rounds, lambda r: sum(r.memory_bytes.values()) / 2**20),
        str(sum(r.measured.bad for r in rounds)),
    ]


def _shown(values: Spread | None, bound: str = "") -> str:
    return f"{bound}{values.shown(short)}" if values else NOTHING


def _median_of(rounds: Sequence[Round], figure: Callable[[Round], float]) -> str:
    values = spread(figure(r) for r in rounds)
    return short(values.median) if values else NOTHING


def _remarks(results: Results) -> Iterator[str]:
    """What a reader must know of these very figures."""
    if not all(r.measured.steady for r in results.rounds):
        yield "≥: some requests waited longer than the warm-up; the real times are longer than those shown."
    if bad := sum(r.measured.bad for r in results.rounds):
        yield f"bad: {bad} requests were not answered with 2xx, so these rows compare more than speed."


# -- where the time goes -----------------------------------------------------------------------------------


def stages_table(stages: Sequence[Stages]) -> str:
    """Medians, in ms; `whole` is the client's: what the stages leave of it is HTTP and the client itself."""
    names = list(dict.fromkeys(name for one in stages for name in one.stages_ms))
    header = ["connections", "rival", "rows a batch", *names, "whole"]
    rows = [
        [
            *(str(one.connections), one.rival, short(one.batch_rows)),
            *(short(one.stages_ms[name]) if name in one.stages_ms else NOTHING for name in names),
            short(one.whole_ms),
        ]
        for one in stages
    ]
    return table(header, rows)


def _stages_heading(results: Results) -> Iterator[str]:
    yield "Where the time goes, in ms: medians of one connection among so many (Server-Timing)."
    yield from _parts_in_words(results)


def _parts_in_words(results: Results) -> Iterator[str]:
    """The CPU of a rival that has several parts, under the most connections."""
    most = max(results.plan.connections)
    for rival in results.plan.rivals:
        rounds = results.of(rival, most)
        parts = list(dict.fromkeys(part for r in rounds for part in r.cpu_cores))
        if len(parts) > 1:
            shares = ", ".join(f"{part} {_median_of(rounds, _cores(part))}" for part in parts)
            yield f"CPU cores of {rival} at {most} connections: {shares}."


def _cores(part: str) -> Callable[[Round], float]:
    return lambda r: r.cpu_cores.get(part, 0.0)


# -- what the figures come from ----------------------------------------------------------------------------


def _about(results: Results) -> Iterator[str]:
    def span(seconds: Callable[[int], float]) -> str:
        shortest, longest = seconds(min(plan.connections)), seconds(max(plan.connections))
        return f"{shortest:.3g} s" if shortest == longest else f"{shortest:.3g} to {longest:.3g} s"

    plan, machine = results.plan, results.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    yield f"`{results.command}` at {results.began_at}, {results.took_s:.0f} s."
    yield (
        f"{machine.cores} cores ({machine.processor}), {machine.system}; load average before: "
        f"{machine.load_before:.1f}. The load runs on the same cores."
    )
    yield f"{versions}."
    others = spread(r.others_cores for r in results.rounds)
    yield f"Cores that other programs took during the turns: {_shown(others)}."
    yield (
        f"One row a request, closed loop, {results.load}; {plan.rounds} interleaved rounds of "
        f"{span(plan.measured_for_s)} after {span(plan.warm_up_for_s)} of warm-up. Median (least-most); "
        "ratios are taken round by round."
    )
