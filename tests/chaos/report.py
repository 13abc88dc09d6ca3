"""Result of a run and its report. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.tables import table
from tests.chaos.account import Totals
from tests.chaos.life_records import Life
from tests.chaos.online import Failure
from tests.chaos.plan import Kind

NOTHING = "-"
MOST_NOTES = 20


@dataclass(frozen=True)
class Healed:
    """A past fault. Times are monotonic; `healed_s` is None if Takt did not recover."""

    kind: Kind
    victims: tuple[str, ...]
    begun_s: float
    over_s: float  # possible start of recovery: the signal, or the end of a suspension
    healed_s: float | None
    note: str = ""
    during: str = ""  # the step of the model's life in which it began

    @property
    def recovery_s(self) -> float | None:
        return None if self.healed_s is None else self.healed_s - self.over_s


@dataclass(frozen=True)
class Requests:
    """Totals of the online requests."""

    right: int = 0
    wrong: int = 0
    rows: int = 0  # of correct answers
    excused: int = 0  # 503, 504 or a broken connection during a fault
    unexplained: int = 0  # all other requests without a correct answer
    right_by: Mapping[str, int] = field(default_factory=dict)  # correct answers by form

    @property
    def total(self) -> int:
        return self.right + self.wrong + self.excused + self.unexplained


@dataclass(frozen=True)
class Run:
    """A run of the suite."""

    seed: int
    took_s: float
    faults: tuple[Healed, ...]
    jobs: Totals
    requests: Requests
    life: Life = field(default_factory=Life)
    notes: tuple[str, ...] = ()

    @property
    def kept_its_promise(self) -> bool:
        """No row is lost, duplicated or wrong, each change of the deployment was whole, and Takt recovered
        from every fault."""
        broken = self.jobs.lost + self.jobs.doubled + self.jobs.wrong + self.requests.wrong
        broken += len(self.life.broken)
        return not broken and all(fault.healed_s is not None for fault in self.faults)


def is_excused(failure: Failure, faults: Sequence[Healed]) -> bool:
    """Whether a fault and the request overlapped."""
    return failure.meant and any(
        fault.begun_s <= failure.ended_s and (fault.healed_s is None or failure.begun_s <= fault.healed_s)
        for fault in faults
    )


def unexplained(failures: Sequence[Failure], faults: Sequence[Healed]) -> list[Failure]:
    """The failed requests that no fault explains."""
    return [failure for failure in failures if not is_excused(failure, faults)]


def report(run: Run) -> str:
    """The whole report, as Markdown."""
    verdict = "the promise was kept" if run.kept_its_promise else "THE PROMISE WAS BROKEN"
    heading = f"{len(run.faults)} faults in {run.took_s / 60:.1f} minutes, seed {run.seed}: {verdict}"
    tables = [heading, "", faults_table(run.faults), "", loads_table(run)]
    return "\n".join([*tables, *_life(run.life), *_notes(run.notes)])


def faults_table(faults: Sequence[Healed]) -> str:
    """Number of faults and recovery times, by kind."""
    kinds = [kind for kind in Kind if any(fault.kind is kind for fault in faults)]
    rows = [[str(kind), *_recovery([f for f in faults if f.kind is kind])] for kind in kinds]
    return table(["fault", "times", "recovery median s", "longest s"], [*rows, ["all", *_recovery(faults)]])


def _recovery(faults: Sequence[Healed]) -> list[str]:
    known = [fault.recovery_s for fault in faults if fault.recovery_s is not None]
    longest = f"{max(known):.1f}" if known and len(known) == len(faults) else "never" if faults else NOTHING
    return [str(len(faults)), f"{median(known):.1f}" if known else NOTHING, longest]


def loads_table(run: Run) -> str:
    """Totals of rows and requests, and all violations."""
    header = ["load", "asked", "rows", "lost", "doubled", "wrong", "refused in a fault", "unexplained"]
    jobs, requests = run.jobs, run.requests
    return table(
        header,
        [
            [
                "jobs",
                *map(_figure, (jobs.jobs, jobs.rows, jobs.lost, jobs.doubled, jobs.wrong)),
                *[NOTHING] * 2,
            ],
            [
                "requests",
                *map(_figure, (requests.total, requests.rows)),
                *[NOTHING] * 2,
                *map(_figure, (requests.wrong, requests.excused, requests.unexplained)),
            ],
        ],
    )


def _figure(number: int) -> str:
    return f"{number:,}"


def _life(life: Life) -> Iterator[str]:
    """The model's life: how far it came, which steps met a fault, and the violations."""
    if not life.changes and not life.broken:
        return
    yield from (
        "",
        f"The model's life: {life.cycles} cycles, {life.promoted} rollouts promoted, "
        f"{life.changes} changes of the deployment, {len(life.broken)} violations.",
        "Faults by step: "
        + ", ".join(f"{step} {times}" for step, times in sorted(Counter(life.met).items())),
        *(f"- VIOLATION: {problem}" for problem in life.broken),
    )


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield from ("", "Seen besides:", "", *(f"- {note}" for note in notes[:MOST_NOTES]))
    if len(notes) > MOST_NOTES:
        yield f"- and {len(notes) - MOST_NOTES} more"
