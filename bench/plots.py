"""SVG line plots without a library. Axes are logarithmic if the values span more than a decade."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from bench.spreads import short

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 150, 40, 50
_COLORS = ("#c0392b", "#2471a3", "#1e8449", "#b7950b", "#7d3c98", "#5d6d7e", "#d35400", "#16a085")
_DECADE = 10.0
_LINEAR_TICKS = 5


@dataclass(frozen=True)
class Line:
    """A series: points (x, y) in drawing order."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Plot:
    """A figure with named axes."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Axis:
    """Maps values to the range 0 to 1."""

    least: float
    most: float
    logarithmic: bool

    def at(self, value: float) -> float:
        if self.logarithmic:
            return math.log(value / self.least) / math.log(self.most / self.least)
        return (value - self.least) / (self.most - self.least)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            first, last = round(math.log10(self.least)), round(math.log10(self.most))
            return [_DECADE**power for power in range(first, last + 1)]
        step = round_step(self.most - self.least)
        return [self.least + step * number for number in range(round((self.most - self.least) / step) + 1)]


def round_step(span: float) -> float:
    """The step of 1, 2 or 5 times a power of ten that divides the span into at most `_LINEAR_TICKS`."""
    least = span / _LINEAR_TICKS
    power = _DECADE ** math.floor(math.log10(least))
    return next(power * times for times in (1, 2, 5, _DECADE) if power * times >= least)


def axis(values: Sequence[float]) -> Axis:
    """A scale for all values: whole decades, or linear from 0 if they are close together or not positive."""
    most = max(values, default=1.0)
    least = min(values, default=0.0)
    if least > 0 and most / least > _DECADE:
        return Axis(
            _DECADE ** math.floor(math.log10(least)), _DECADE ** math.ceil(math.log10(most)), logarithmic=True
        )
    least, most = min(0.0, least), most if most > 0 else 1.0
    step = round_step(most - least)
    return Axis(step * math.floor(least / step), step * math.ceil(most / step), logarithmic=False)


def svg(plot: Plot) -> str:
    """The plot as SVG text."""
    across = axis([x for line in plot.lines for x, _ in line.points])
    up = axis([y for line in plot.lines for _, y in line.points])

    def right(x: float) -> float:
        return _LEFT + across.at(x) * (_WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return _HEIGHT - _BOTTOM - up.at(y) * (_HEIGHT - _TOP - _BOTTOM)

    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            _text(_WIDTH / 2, 20, plot.title, "middle"),
            *_grid(across, up, right, down),
            _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, plot.x, "middle"),
            _text(12, _TOP - 12, plot.y, "start"),
            *(part for number, line in enumerate(plot.lines) for part in _drawn(line, number, right, down)),
            "</svg>\n",
        ]
    )


def _grid(
    across: Axis, up: Axis, right: Callable[[float], float], down: Callable[[float], float]
) -> Iterator[str]:
    for tick in across.ticks():
        yield _rule(right(tick), _TOP, right(tick), _HEIGHT - _BOTTOM)
        yield _text(right(tick), _HEIGHT - _BOTTOM + 16, short(tick), "middle")
    for tick in up.ticks():
        yield _rule(_LEFT, down(tick), _WIDTH - _RIGHT, down(tick))
        yield _text(_LEFT - 6, down(tick) + 4, short(tick), "end")


def _drawn(
    line: Line, number: int, right: Callable[[float], float], down: Callable[[float], float]
) -> Iterator[str]:
    color = _COLORS[number % len(_COLORS)]
    points = [(right(x), down(y)) for x, y in line.points]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{joined}" fill="none" stroke="{color}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>'
    yield _text(_WIDTH - _RIGHT + 12, _TOP + 12 + 18 * number, line.name, "start", color)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e5e7e9"/>'


def _text(x: float, y: float, words: str, anchor: str, color: str = "#17202a") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{escape(words)}</text>'
