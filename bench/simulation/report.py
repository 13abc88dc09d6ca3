"""Comparison of simulation and measurement, and simulated figures for stacks too large for the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.report import NOTHING, run_in_words
from bench.results import Run
from bench.simulation.costs import Costs
from bench.simulation.scenes import Figures, Scene
from bench.spreads import short, spread
from bench.tables import table

SHOWN: Mapping[str, str] = {
    "answers_per_s": "answers/s",
    "batch_rows": "rows a batch",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "admitted": "admitted",
    "job_share": "job's share",
    "large_s": "large job, s",
    "small_s": "small job, s",
}
"""The figures by column name."""


@dataclass(frozen=True)
class Compared:
    """A scene: the measured rounds, and the simulated figures."""

    scene: Scene
    measured: tuple[Figures, ...]
    simulated: Figures

    def error(self, figure: str) -> float | None:
        """Relative error of the simulation to the median round; 0.1 is 10 % too high. None: no figure."""
        seen, said = self._median(figure), getattr(self.simulated, figure)
        return said / seen - 1 if seen and said is not None else None

    def shown(self, figure: str) -> str:
        """`441 (430-450) -1%`: measured, and the simulation's error."""
        seen, error = spread(getattr(one, figure) for one in self.measured), self.error(figure)
        return f"{seen.shown(short)} {error:+.0%}" if seen and error is not None else NOTHING

    def _median(self, figure: str) -> float | None:
        found = [value for one in self.measured if (value := getattr(one, figure)) is not None]
        return median(found) if found else None


@dataclass(frozen=True)
class Scaled:
    """Simulated figures for a number of workers, and the load of gateways and queue: 1 is full."""

    scene: Scene
    figures: Figures
    gateway_busy: float
    queue_busy: float


@dataclass(frozen=True, kw_only=True)
class SimulationResults(Run):
    """A calibration with a single worker, and the results based on it."""

    rounds: int
    costs: Costs
    compared: tuple[Compared, ...]
    scaled: tuple[Scaled, ...]
    by_gateways: tuple[Scaled, ...] = ()  # with a model that costs nothing
    kind: str = "simulation"


def simulation_report(results: SimulationResults) -> str:
    """The whole report, as Markdown."""
    sections = list(_about(results))
    if results.compared:
        sections += ["", compared_table(results.compared), "", *errors_in_words(results.compared)]
    if results.scaled:
        sections += [
            "",
            "What does not fit on this machine, simulated only:",
            "",
            scaled_table(results.scaled),
        ]
    if results.by_gateways:
        sections += [
            "",
            "Gateways on cores of their own, with the load generator on other cores and a model that costs "
            "nothing, simulated only. Connections are spread by chance:",
            "",
            gateways_table(results.by_gateways),
        ]
    return "\n".join(sections)


def compared_table(compared: Sequence[Compared]) -> str:
    """Every scene with measured figures and the simulation's errors."""
    rows = [
        [one.scene.name, str(one.scene.workers), *(one.shown(figure) for figure in SHOWN)] for one in compared
    ]
    return table(["load", "workers", *SHOWN.values()], rows)


def errors_in_words(compared: Sequence[Compared]) -> Iterator[str]:
    """`answers/s: off by 2% (median), 6% at most.`"""
    for figure, name in SHOWN.items():
        errors = [abs(error) for one in compared if (error := one.error(figure)) is not None]
        if errors:
            yield f"{name}: off by {median(errors):.0%} (median of {len(errors)}), {max(errors):.0%} at most."


def scaled_table(scaled: Sequence[Scaled]) -> str:
    base = scaled[0].figures.answers_per_s
    header = [*("workers", "gateways", "asked/s", "× one worker", "rows a batch", "p50 ms", "p99 ms")]
    return table([*header, "admitted", "gateways busy", "queue busy"], [_scaled(one, base) for one in scaled])


def gateways_table(scaled: Sequence[Scaled]) -> str:
    base = scaled[0].figures.answers_per_s
    header = ["gateways", "connections", "answers/s", "× one gateway", "p50 ms", "p99 ms"]
    return table([*header, "gateways busy", "queue busy"], [_by_gateways(one, base) for one in scaled])


def _by_gateways(one: Scaled, base: float | None) -> list[str]:
    scene, figures = one.scene, one.figures
    times = figures.answers_per_s / base if base and figures.answers_per_s is not None else None
    shown = (figures.answers_per_s, times, figures.p50_ms, figures.p99_ms)
    return [
        *(str(scene.gateways), str(scene.connections)),
        *(short(value) if value is not None else NOTHING for value in shown),
        *(f"{busy:.0%}" for busy in (one.gateway_busy, one.queue_busy)),
    ]


def _scaled(one: Scaled, base: float | None) -> list[str]:
    def shown(value: float | None) -> str:
        return short(value) if value is not None else NOTHING

    scene, figures = one.scene, one.figures
    times = figures.answers_per_s / base if base and figures.answers_per_s is not None else None
    return [
        *(
            str(scene.workers),
            str(scene.gateways),
            short(scene.rate),
            shown(times),
            shown(figures.batch_rows),
        ),
        *(shown(figures.p50_ms), shown(figures.p99_ms)),
        f"{figures.admitted:.0%}" if figures.admitted is not None else NOTHING,
        *(f"{busy:.0%}" for busy in (one.gateway_busy, one.queue_busy)),
    ]


def _about(results: SimulationResults) -> Iterator[str]:
    yield from run_in_words(results)
    costs = results.costs
    around = {
        "a batch": costs.batch_s,
        "a request in the gateway": costs.gateway_s,
        "in the queue": costs.queue_s,
        "of both ways": costs.path_s,
        "of a chunk": costs.chunk_s,
    }
    full_s = costs.predict_s(costs.max_rows)
    shares = ", ".join(f"{name} {seconds / full_s:.1%}" for name, seconds in around.items())
    yield (
        f"The model takes {costs.call_s * 1000:g} ms a call and {costs.row_s * 1000:g} ms a row, at most "
        f"{costs.max_rows} rows. Calibrated at one worker, by 1 and 64 connections and jobs of one row, as "
        f"shares of a full batch's call: {shares}. Measured: {results.rounds} rounds, median (least-most), "
        "then the simulation's error."
    )
