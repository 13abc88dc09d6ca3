"""A run: a stack, its loads, and consecutive faults, each after the recovery from the previous fault."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos import scene as scenes
from tests.chaos.account import Account
from tests.chaos.faults import Faults
from tests.chaos.gateways import Gateways
from tests.chaos.healing import Healing
from tests.chaos.life import STEP_LIMIT_S, STEPS, ModelLife, outcome
from tests.chaos.life_records import Life
from tests.chaos.offline import JobLoop, audit
from tests.chaos.online import Failure, OnlineLoad
from tests.chaos.orders import orders
from tests.chaos.plan import ROUND, Fault, Kind, faults
from tests.chaos.questions import Form
from tests.chaos.report import Healed, Requests, Run, unexplained
from tests.chaos.scene import REDIS, Scene
from tests.chaos.supervision import Supervisor
from tests.chaos.terrain import Pool, built, known_pool
from tests.support.processes import members

HEALS_S = 120.0
"""Time limit of a recovery."""
LAST_JOBS_S = 180.0
IN_STEP_S = 0.002
"""Interval of looks at the step of the model's life: most steps are short."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Terms:
    """Duration and size of a run."""

    seed: int
    minutes: float = 10.0  # time for faults; current jobs are then completed
    least_faults: int = 30  # minimum number of recoveries; extends the run by at most half
    workers: int = 2
    gateways: int = 2
    job_loops: int = 4
    connections: int = 8
    round_of: tuple[Kind, ...] = ROUND
    in_each_step: bool = False  # faults at the beginning of the steps of the model's life

    def goes_on(self, ran_s: float, healed: int) -> bool:
        """Whether another fault is due."""
        seconds = 60 * self.minutes
        return ran_s < seconds or (healed < self.least_faults and ran_s < 1.5 * seconds)

    def faults(self) -> Iterator[Fault]:
        return faults(self.seed, workers=self.workers, gateways=self.gateways, round_of=self.round_of)


class Loads:
    """The running loads."""

    def __init__(
        self,
        terms: Terms,
        gateways: Gateways,
        rpcs: Sequence[str],
        pool: Pool,
        folder: Path,
        *,
        life: ModelLife,
    ) -> None:
        self.account = Account()
        self.life = life
        self.online = OnlineLoad(gateways.urls, rpcs, terms.connections, pool, terms.seed)
        self._jobs = [
            JobLoop(gateways, self.account, pool, orders(terms.seed, f"loop-{number}", pool.rows), folder)
            for number in range(terms.job_loops)
        ]

    def start(self) -> None:
        for load in (self.online, self.life, *self._jobs):
            load.start()

    def abandon(self) -> None:
        """Start no further work, without waiting."""
        self.online.stop()
        self.life.stop()
        for loop in self._jobs:
            loop.stop()

    def stop(self) -> None:
        """Complete the present step of the model's life and the current jobs, and end the requests."""
        self.life.stop()
        self.life.join(STEP_LIMIT_S)  # a rollout needs requests, and a deletion the end of jobs
        for loop in self._jobs:
            loop.stop()
        end_s = time.monotonic() + LAST_JOBS_S
        for loop in self._jobs:
            loop.join(max(0.0, end_s - time.monotonic()))
        self.online.stop()
        self.online.join()

    def __str__(self) -> str:
        return f"{self.account.rows_settled():>11,} rows {self.online.log.requests:>8,} requests"


def run(terms: Terms, folder: Path, say: Say) -> Run:
    """Execute a run in an empty folder and return its figures. `say` receives progress messages."""
    begun_s = time.monotonic()
    version = built(folder / "models")
    pool = known_pool(version, terms.seed)
    say(f"seed {terms.seed}: {terms.gateways} gateways, {terms.workers} workers, in {folder}")
    opened = scenes.opened(folder, workers=terms.workers, gateways=terms.gateways)
    with opened as scene, Gateways(scene.urls) as gateways, Gateways(scene.urls) as operated:
        supervisor = Supervisor(scene.posts, terms.seed)
        supervisor.start()
        life = ModelLife(operated, version, folder / "published")
        loads = Loads(terms, gateways, scene.rpcs, pool, folder, life=life)
        loads.start()
        try:
            healed = Chaos(scene, supervisor, gateways, loads, pool).run(terms, say)
            say("the last jobs are seen through")
            loads.stop()
            audit(gateways, loads.account)
            lived = outcome(life, scene.urls, scene.client, [fault.during for fault in healed])
        finally:
            loads.abandon()
            supervisor.stop()
    return _figures(terms.seed, time.monotonic() - begun_s, healed, loads, supervisor.unasked, life=lived)


class Chaos:
    """Inject faults in turn."""

    def __init__(
        self, scene: Scene, supervisor: Supervisor, gateways: Gateways, loads: Loads, pool: Pool
    ) -> None:
        self._scene = scene
        self._ways = Faults(
            supervisor,
            scene.posts,
            workers=scene.workers,
            gateways=list(scene.gateways),
            redis=REDIS,
            coordinator=lambda: next(
                name for name, url in scene.gateways.items() if url == loads.life.coordinator
            ),
            tell_alone=lambda program, how: scene.stack.parts[program].tell_alone(how),
            tell_inside=lambda program, name, how: scene.stack.parts[program].tell_inside(name, how),
        )
        self._gateways = gateways
        self._loads = loads
        self._pool = pool

    def run(self, terms: Terms, say: Say) -> list[Healed]:
        """Continue until the time is over, or a part does not recover."""
        begun_s, healed = time.monotonic(), list[Healed]()
        coming = terms.faults()
        while terms.goes_on(time.monotonic() - begun_s, len(healed)):
            fault = next(coming)
            if not (terms.in_each_step and self._meets_a_step(healed)):
                time.sleep(fault.calm_s)
            healed.append(self._one(fault))
            say(_line(time.monotonic() - begun_s, fault, healed[-1], self._loads))
            if missing := self._scene.missing_parts():
                healed[-1] = replace(
                    healed[-1], healed_s=None, note=f"{', '.join(missing)} did not come back"
                )
                break
        return healed

    def _meets_a_step(self, healed: list[Healed]) -> bool:
        """Wait for a step of the model's life that has met the fewest faults. → whether it came in time"""
        met = Counter(fault.during for fault in healed)
        fewest = min(met[step] for step in STEPS)
        rarest = {step for step in STEPS if met[step] == fewest}
        end_s = time.monotonic() + HEALS_S
        while time.monotonic() < end_s:
            if self._loads.life.doing in rarest:
                return True
            time.sleep(IN_STEP_S)
        return False

    def _one(self, fault: Fault) -> Healed:
        names = tuple(self._ways.victims_of(fault))
        groups = [part.pid for name, part in self._scene.stack.parts.items() if name in names]
        healing = Healing(
            self._scene.client, self._gateways, self._scene.http, self._loads.account, self._pool
        )
        begun_s, during = time.monotonic(), self._loads.life.doing
        over_s = self._ways.bring_about(fault, names)
        note = "" if healing.wait(HEALS_S) else healing.what_is_missing()
        if fault.kind is Kind.SUPERVISOR_KILLED and not _have_ended(groups):
            note = "processes of the killed supervisor run on"
        return Healed(fault.kind, names, begun_s, over_s, None if note else time.monotonic(), note, during)


def _have_ended(groups: Sequence[int]) -> bool:
    """Whether all processes of these groups end within the limit."""
    end_s = time.monotonic() + HEALS_S
    while any(map(members, groups)):
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True


def _line(ran_s: float, fault: Fault, healed: Healed, loads: Loads) -> str:
    recovery = "NOT HEALED" if healed.recovery_s is None else f"healed in {healed.recovery_s:4.1f} s"
    who, after = ", ".join(healed.victims), f"{healed.during} {healed.note}"
    return f"{ran_s:5.0f} s {fault.number:3}  {fault.kind:<19} {who:<18} {recovery} {loads} {after}"


def _figures(
    seed: int, took_s: float, healed: list[Healed], loads: Loads, unasked: list[str], *, life: Life
) -> Run:
    log = loads.online.log
    strange = unexplained(log.failures, healed)
    requests = Requests(
        right=log.right,
        wrong=log.wrong,
        rows=log.rows,
        excused=len(log.failures) - len(strange),
        unexplained=len(strange),
        right_by={str(form): log.right_by[form] for form in Form},
    )
    notes = [
        *(f"{fault.kind}: {fault.note}" for fault in healed if fault.note),
        *loads.account.notes(),
        *(f"{times} × {how}" for how, times in Counter(unasked).items()),
        *_in_words(strange, healed),
    ]
    return Run(seed, took_s, tuple(healed), loads.account.totals(), requests, life, tuple(notes))


def _in_words(strange: list[Failure], healed: list[Healed]) -> Iterator[str]:
    """Notes on failed requests that no fault explains, with the time since the last recovery."""
    for failure in strange:
        before = [fault for fault in healed if fault.healed_s and fault.healed_s < failure.begun_s]
        since = (
            f"{failure.begun_s - (before[-1].healed_s or 0):.1f} s after {before[-1].kind}" if before else ""
        )
        yield f"request: {failure.what} after {failure.ended_s - failure.begun_s:.1f} s, begun {since}"
