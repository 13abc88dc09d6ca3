"""Records of a run with many rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.memory_sampling import Look
from bench.results import Run

BARE = "in-process"


@dataclass(frozen=True)
class Passage:
    """A way's rows in a round."""

    round: int
    way: str
    rows: int
    took_s: float
    cpu_s: Mapping[str, float]  # by part
    peak_bytes: Mapping[str, int]  # by part
    looks: tuple[Look, ...] = ()

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.took_s


@dataclass(frozen=True)
class Rate:
    """Rows a second of the model for a call size."""

    rows_a_call: int
    rows_per_s: float


@dataclass(frozen=True, kw_only=True)
class OfflineResults(Run):
    """A run of several ways."""

    model: str
    rounds: int
    ways: tuple[str, ...]  # BARE first: ratios are relative to it
    passages: tuple[Passage, ...]
    rates: tuple[Rate, ...]  # of the bare model
    runtimes: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict)  # of the worker, at warm-up
    skipped: Mapping[str, str] = field(default_factory=dict)
    kind: str = "offline"

    def of(self, way: str) -> list[Passage]:
        """The passages of a way, in the order of the rounds."""
        return [one for one in self.passages if one.way == way]
