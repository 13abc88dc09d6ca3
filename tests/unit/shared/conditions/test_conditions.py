"""Every condition is decided from its facts, is reported once, and has an alert that agrees."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest

from shared.conditions import (
    BY_CODE,
    KINDS,
    ConditionKind,
    ConditionTracker,
    Severity,
    conditions_of,
    status_of,
    without_consequences,
)
from tests.support.incidents import HEALTHY, INCIDENTS, KEY, NOW_MS, worker
from tests.support.monitoring import alerts

ABOUT_PROMETHEUS = {"TaktClusterNotScraped"}
"""Alerts about the monitoring itself."""


def codes_of(name: str) -> list[str]:
    return [one.code for one in without_consequences(conditions_of(INCIDENTS[name]))]


def test_an_installation_without_faults_is_healthy() -> None:
    assert list(conditions_of(HEALTHY)) == []
    assert status_of([]) == "healthy"


def test_every_condition_has_facts() -> None:
    assert list(INCIDENTS) == list(BY_CODE)


@pytest.mark.parametrize("code", BY_CODE)
def test_a_condition_is_decided_from_its_facts_and_nothing_else_is_reported(code: str) -> None:
    assert codes_of(code) == [code]


@pytest.mark.parametrize("code", BY_CODE)
def test_its_message_and_remedy_are_complete(code: str) -> None:
    [found] = without_consequences(conditions_of(INCIDENTS[code]))
    wanted = {name for _, name, _, _ in string.Formatter().parse(BY_CODE[code].message) if name}
    assert wanted - {"subject"} == found.parameters.keys()
    assert found.message
    assert found.remedy
    assert "{" not in found.message
    assert status_of([found]) == ("trouble" if found.kind.severity is Severity.TROUBLE else "warning")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_its_alerts_exist(kind: ConditionKind) -> None:
    assert set(kind.alerts) <= {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_is_a_condition_of_its_severity(alert: dict[str, object]) -> None:
    kinds = [kind for kind in KINDS if alert["alert"] in kind.alerts]
    if alert["alert"] in ABOUT_PROMETHEUS:
        assert not kinds
        return
    pages = any(kind.severity is Severity.TROUBLE for kind in kinds)
    assert kinds
    assert alert["labels"] == {"severity": "page" if pages else "ticket"}


def test_a_condition_without_an_alert_is_ordered_or_asked_of_nobody() -> None:
    without = {kind.code for kind in KINDS if not kind.alerts}
    assert without == {
        "gateway_stopping",
        "worker_restarted",
        "model_not_loaded",
        "model_spec_wrong",
    }


# -- one cause is reported once ----------------------------------------------------------------------------


def test_a_dead_redis_is_one_condition() -> None:
    facts = replace(INCIDENTS["worker_silent"], redis=None, workers=(), failed_jobs={KEY: 3})
    assert [one.code for one in conditions_of(facts)] == ["redis_down"]


def test_while_redis_refuses_writes_missing_heartbeats_are_not_repeated() -> None:
    facts = replace(INCIDENTS["no_worker"], silent_workers={"w/0": NOW_MS - 4000})
    facts = replace(
        facts, redis=INCIDENTS["redis_refuses_writes"].redis, gateway=INCIDENTS["gateway_silent"].gateway
    )
    assert [one.code for one in without_consequences(conditions_of(facts))] == ["redis_refuses_writes"]


def test_without_workers_neither_models_nor_silent_workers_are_repeated() -> None:
    facts = replace(INCIDENTS["no_worker"], silent_workers={"w/0": NOW_MS - 4000}, wanted=(KEY, KEY))
    [only] = without_consequences(conditions_of(facts))
    assert only.code == "no_worker"
    assert only.message.endswith("The last was w/0, 4 s ago.")


def test_a_model_that_failed_in_two_workers_is_one_condition() -> None:
    failed = INCIDENTS["model_failed"].workers[0]
    [only] = without_consequences(conditions_of(replace(HEALTHY, workers=(failed, failed))))
    assert only.parameters["count"] == 2


def test_trouble_comes_first() -> None:
    facts = replace(INCIDENTS["dead_letters"], workers=(worker(exits=5),))
    assert [one.code for one in without_consequences(conditions_of(facts))] == [
        "worker_crash_loop",
        "dead_letters",
    ]


# -- since when --------------------------------------------------------------------------------------------


def test_a_condition_keeps_its_beginning_until_it_ends() -> None:
    tracker, found = ConditionTracker(), conditions_of(INCIDENTS["dead_letters"])
    assert [one.since_ms for one in tracker.see(found, 1000)] == [1000]
    assert [one.since_ms for one in tracker.see(found, 2000)] == [1000]
    assert list(tracker.see([], 3000)) == []
    assert [one.since_ms for one in tracker.see(found, 4000)] == [4000]


def test_a_beginning_that_another_gateway_recorded_counts() -> None:
    found = conditions_of(INCIDENTS["dead_letters"])
    assert [one.since_ms for one in ConditionTracker().see(found, 9000, {found[0].id: 500})] == [500]


def test_a_condition_that_must_hold_is_reported_after_that_time() -> None:
    tracker, found = ConditionTracker(), conditions_of(INCIDENTS["jobs_stand_still"])
    assert list(tracker.see(found, 0)) == []
    assert list(tracker.see(found, 14_000)) == []
    assert [one.since_ms for one in tracker.see(found, 15_000)] == [0]
