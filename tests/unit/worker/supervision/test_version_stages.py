"""The stages of wanted versions."""

from __future__ import annotations

from shared.worker_records import HeldModel, ModelState, Runtimes
from worker.control.control_messages import VersionReport, WantedVersion
from worker.supervision.version_stages import MOST_STRIKES, VersionStage, WantedVersions

A, B = WantedVersion("a@1", fingerprint="1"), WantedVersion("b@1", fingerprint="1")
REPORT = VersionReport(rates={}, runtimes=Runtimes(), settled={}, load_s=1.0, memory_bytes=10, peak_bytes=20)
LOADED = HeldModel(state=ModelState.LOADED)


def wanted(*versions: WantedVersion) -> WantedVersions:
    made = WantedVersions()
    made.want(versions)
    return made


def states(versions: WantedVersions, opened: dict[str, HeldModel] | None = None) -> dict[str, ModelState]:
    return {key: held.state for key, held in versions.states(opened or {}).items()}


def test_a_wanted_version_waits_for_a_verifier_and_then_for_the_fork_server() -> None:
    versions = wanted(A, B)
    assert versions.waiting() == ["a@1", "b@1"]
    versions.take("a@1", VersionStage.VERIFYING)
    assert versions.waiting() == ["b@1"]
    versions.take("a@1", VersionStage.VERIFIED, report=REPORT)
    assert [version.key for version in versions.verified()] == ["a@1"]
    assert states(versions) == {"a@1": ModelState.LOADING, "b@1": ModelState.LOADING}
    assert states(versions, {"a@1": LOADED})["a@1"] is ModelState.LOADED


def test_a_version_that_cannot_be_read_has_failed_and_is_not_verified() -> None:
    versions = wanted(WantedVersion("a@1", problem="not built"), B)
    assert versions.waiting() == ["b@1"]
    assert versions.states({})["a@1"].reason == "not built"


def test_everything_is_settled_once_each_is_open_or_failed() -> None:
    versions = wanted(A, B)
    versions.take("a@1", VersionStage.FAILED, reason="wrong")
    assert not versions.are_settled(set())
    versions.take("b@1", VersionStage.VERIFIED, report=REPORT)
    assert not versions.are_settled(set())
    assert versions.are_settled({"b@1"})


def test_a_version_that_cannot_be_forked_is_loaded_by_each_worker_for_a_reason() -> None:
    versions = wanted(A)
    versions.take("a@1", VersionStage.OWN, reason="it starts threads")
    assert versions.own() == ["a@1"]
    assert versions.are_settled(set())
    assert versions.states({})["a@1"].own_copy == "it starts threads"


def test_known_versions_keep_their_stage_if_others_are_wanted_too() -> None:
    versions = wanted(A)
    versions.take("a@1", VersionStage.VERIFIED, report=REPORT)
    assert versions.want([A, B]) == set()
    assert versions.waiting() == ["b@1"]


def test_a_version_is_gone_if_it_is_not_wanted_or_its_files_have_changed() -> None:
    versions = wanted(A, B)
    versions.take("a@1", VersionStage.VERIFIED, report=REPORT)
    assert versions.want([WantedVersion("a@1", fingerprint="2")]) == {"a@1", "b@1"}
    assert versions.waiting() == ["a@1"]


def test_a_version_fails_if_it_ends_fork_servers_again_and_again() -> None:
    versions = wanted(A)
    versions.take("a@1", VersionStage.VERIFIED, report=REPORT)
    assert [versions.strike("a@1") for _ in range(MOST_STRIKES)] == [False] * (MOST_STRIKES - 1) + [True]


def test_the_end_of_a_version_that_is_no_longer_wanted_changes_nothing() -> None:
    versions = wanted(B)
    assert not versions.take("a@1", VersionStage.FAILED, reason="late")
    assert not versions.strike("a@1")
    assert states(versions) == {"b@1": ModelState.LOADING}


def test_a_version_on_demand_is_cold_until_it_is_asked_for_and_again_after_it_was_dropped() -> None:
    versions = WantedVersions(on_demand=True)
    versions.want([A, B])
    assert (versions.waiting(), versions.are_settled(set()), versions.states({})) == ([], True, {})
    versions.ask("a@1", 1.0)
    assert versions.waiting() == ["a@1"]
    versions.take("a@1", VersionStage.VERIFIED, report=REPORT)
    assert versions.states({"a@1": LOADED}) == {"a@1": LOADED}
    versions.drop("a@1")
    assert versions.declared().keys() == {"a@1", "b@1"}
    assert versions.declared()["a@1"].memory_bytes == REPORT.memory_bytes
    assert states(versions) == {}


def test_a_version_that_was_verified_before_only_waits_for_memory() -> None:
    versions = WantedVersions(on_demand=True)
    versions.want([A])
    versions.ask("a@1", 1.0)
    versions.take("a@1", VersionStage.VERIFIED, report=REPORT)
    versions.drop("a@1")
    versions.ask("a@1", 9.0)
    assert versions.waiting() == []
    assert [version.key for version in versions.measured()] == ["a@1"]
