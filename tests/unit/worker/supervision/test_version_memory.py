"""How versions get memory, wait for it, and lose it."""

from __future__ import annotations

import pytest

from shared.worker_records import ModelState, Runtimes
from worker.control.control_messages import VersionReport, WantedVersion
from worker.supervision.memory_budget import KEPT_S, MemoryBudget
from worker.supervision.version_memory import ASKED_S, VersionMemory
from worker.supervision.version_stages import VersionStage, WantedVersions

SIZE = 10


def report(size: int = SIZE) -> VersionReport:
    return VersionReport(
        rates={}, runtimes=Runtimes(), settled={}, load_s=1.0, memory_bytes=size, peak_bytes=size
    )


class Place:
    """Versions a@1, b@1, … with room for two."""

    def __init__(self, *, on_demand: bool, copies: int = 1) -> None:
        self.versions = WantedVersions(on_demand=on_demand)
        self.versions.want([WantedVersion(f"{name}@1", fingerprint="artifact spec") for name in "abc"])
        self.memory = VersionMemory(self.versions, MemoryBudget(2 * SIZE + 1), copies=copies)

    def load(self, name: str, now_s: float, *, own_copy: str = "", size: int = SIZE) -> set[str]:
        """Ask for a version, verify it, and look for memory. → what was dropped"""
        key = f"{name}@1"
        self.memory.demanded({}, [key], now_s)
        version = self.versions.get(key)
        assert version is not None
        version.own_copy = own_copy
        self.versions.take(key, VersionStage.MEASURED, report=report(size))
        return self.memory.tend(now_s)

    def stage(self, name: str) -> VersionStage:
        version = self.versions.get(f"{name}@1")
        assert version is not None
        return version.stage


@pytest.fixture
def place() -> Place:
    return Place(on_demand=True)


def test_without_demand_a_version_waits_for_memory_and_counts_as_failed_with_the_figures() -> None:
    place = Place(on_demand=False)
    assert [place.load(name, 1.0) for name in "abc"] == [set(), set(), set()]
    assert [place.stage(name) for name in "abc"] == [
        VersionStage.VERIFIED,
        VersionStage.VERIFIED,
        VersionStage.MEASURED,
    ]
    held = place.versions.states({})["c@1"]
    assert held.state is ModelState.FAILED
    assert "c@1 takes" in held.reason
    place.memory.give_back(["a@1"])
    place.memory.tend(2.0)
    assert place.stage("c") is VersionStage.VERIFIED
    assert place.versions.states({})["c@1"].reason == ""


def test_on_demand_the_least_recently_used_version_is_dropped(place: Place) -> None:
    place.load("a", 0.0)
    place.load("b", 1.0)
    place.memory.demanded({"a@1": 0.5}, [], 3.0)
    assert place.load("c", 3.0 + KEPT_S) == {"b@1"}
    assert [place.stage(name) for name in "abc"] == [
        VersionStage.VERIFIED,
        VersionStage.COLD,
        VersionStage.VERIFIED,
    ]
    assert place.memory.facts.evictions == 1


def test_a_version_for_which_there_is_no_room_waits_before_it_is_refused(place: Place) -> None:
    for name in "ab":
        place.load(name, 0.0)
    now_s = 60.0
    while place.versions.declared()["c@1"].reason == "":
        place.memory.demanded({"a@1": 0.0, "b@1": 0.0}, [], now_s)
        assert place.load("c", now_s) == set()
        now_s += 0.5
    assert now_s - 60.0 > KEPT_S
    assert place.stage("c") is VersionStage.MEASURED
    assert "which serve requests or jobs now" in place.versions.declared()["c@1"].reason


def test_a_version_that_nobody_asks_for_any_more_is_not_loaded(place: Place) -> None:
    for name in "ab":
        place.load(name, 60.0)
    place.load("c", 60.0)
    place.memory.tend(60.5 + ASKED_S)
    assert place.stage("c") is VersionStage.COLD


def test_a_version_larger_than_the_budget_fails_and_drops_nothing(place: Place) -> None:
    place.load("a", 0.0)
    assert place.load("b", 60.0, size=3 * SIZE) == set()
    assert place.stage("b") is VersionStage.FAILED
    assert "b@1" not in place.versions.declared()
    assert place.stage("a") is VersionStage.VERIFIED


def test_a_version_that_each_worker_loads_counts_once_for_each() -> None:
    place = Place(on_demand=True, copies=2)
    place.load("a", 0.0, own_copy="it starts threads")
    assert place.stage("a") is VersionStage.OWN
    assert place.memory.facts.used_bytes == 2 * SIZE
    assert place.versions.states({})["a@1"].own_copy == "it starts threads"


def test_what_is_loaded_on_demand_is_declared_with_its_digests(place: Place) -> None:
    declared = place.memory.facts.on_demand["a@1"]
    assert (declared.digest, declared.spec_digest, declared.memory_bytes) == ("artifact", "spec", 0)
