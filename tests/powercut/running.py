"""Repeated cycles of load, power cut, start and verification."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.powercut.disk import CutFolder, Disk, LoopDisk, can_mount
from tests.powercut.load import Accepted, Loads
from tests.powercut.stack import CutStack, DidNotStart
from tests.powercut.verdicts import DOCUMENTED_S, Account, account_of

LOAD_S = (1.5, 6.0)
"""Minimum and maximum duration of the load before a cut."""
LEAST_JOBS, LONGEST_S = 10, 30.0
"""On a busy machine the load continues up to a time limit until enough jobs are acknowledged."""
_WATCH_S = 0.05
_REMEMBERED = 20
"""Number of jobs of earlier cuts that are checked again."""


@dataclass
class Run:
    """Totals of all cuts in a durability mode."""

    durability: str
    disk: str
    cuts: int = 0
    jobs: int = 0
    predictions: int = 0
    lost: int = 0
    oldest_lost_s: float = 0.0
    torn: int = 0
    recomputed: int = 0
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        """A line with the result."""
        return (
            f"{self.durability} ({self.disk}): {self.cuts} cuts, {self.predictions} predictions, "
            f"{self.jobs} jobs acknowledged; lost {self.lost}, the oldest {self.oldest_lost_s:.2f} s before "
            f"its cut; {self.torn} torn append-only files repaired; {self.recomputed} results computed "
            f"again; {len(self.faults)} faults"
        )

    def add(self, found: Account, loads: Loads, stack: CutStack) -> None:
        """Add a cut."""
        self.cuts += 1
        self.jobs += len(loads.accepted)
        self.predictions += loads.predictions
        self.lost += found.lost
        self.oldest_lost_s = max(self.oldest_lost_s, found.oldest_lost_s)
        self.torn += stack.torn
        self.recomputed += stack.lost_results()
        self.faults += found.faults


class Cutter:
    """Cuts the power of a stack repeatedly."""

    def __init__(self, durability: str, root: Path, disk: Disk, chance: random.Random) -> None:
        self.done = Run(durability, disk.kind)
        self._root = root
        self._disk = disk
        self._chance = chance
        self._accepted: list[Accepted] = []
        self._stack = self._started()

    def close(self) -> None:
        """Stop the running stack."""
        self._stack.end()

    def cut(self) -> None:
        """Load, cut, start and verify. Raises DidNotStart."""
        loads, cut_at_s = self._load_until_the_cut()
        self._disk.restart()
        self._stack = stack = self._started()
        acknowledged = [*self._accepted, *(job for job in loads.accepted if job.at_s <= cut_at_s)]
        with httpx.Client(base_url=stack.url, timeout=30, verify=False) as http, stack.redis() as server:
            found = account_of(http, server, acknowledged, cut_at_s=cut_at_s, durability=self.done.durability)
        self.done.add(found, loads, stack)
        kept = [job for job in acknowledged if cut_at_s - job.at_s > DOCUMENTED_S]
        self._accepted = kept[-_REMEMBERED:]

    def _load_until_the_cut(self) -> tuple[Loads, float]:
        """Returns the load and the time of the power cut."""
        loads = Loads(self._stack.url, str(self.done.cuts))
        loads.start()
        try:
            begun_s = time.monotonic()
            end_s = begun_s + self._chance.uniform(*LOAD_S)
            while time.monotonic() < (end_s if len(loads.accepted) >= LEAST_JOBS else begun_s + LONGEST_S):
                self._disk.watch()
                time.sleep(_WATCH_S)
            processes, cut_at_s = self._stack.freeze(), time.monotonic()
            self._disk.cut()
            loads.stop()
            self._stack.kill(processes)
        finally:
            loads.stop()
            loads.join()
        return loads, cut_at_s

    def _started(self) -> CutStack:
        """Raises DidNotStart."""
        log = self._root / f"up-{self.done.cuts}.log"
        stack = CutStack(self._disk.folder / "stack", log, self.done.durability)
        try:
            stack.serving()
        except BaseException:
            stack.end()
            raise
        return stack


def run(durability: str, cuts: int, root: Path, seed: int, say: Callable[[str], None]) -> Run:
    """Make a number of cuts in a mode."""
    chance = random.Random(seed)
    with (
        closing(_disk(root, durability, chance)) as disk,
        closing(Cutter(durability, root, disk, chance)) as cutter,
    ):
        try:
            for number in range(1, cuts + 1):
                cutter.cut()
                say(f"cut {number}/{cuts}: {cutter.done.line()}")
        except DidNotStart as error:
            cutter.done.faults.append(f"the stack did not start by itself: {error}")
    return cutter.done


def _disk(root: Path, durability: str, chance: random.Random) -> Disk:
    if can_mount():
        return LoopDisk(root)
    return CutFolder(root, unsynced_s=1.0 if durability == "memory" else 0.0, chance=chance)
