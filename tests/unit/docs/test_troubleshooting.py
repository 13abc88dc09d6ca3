"""docs/troubleshooting.md has an answer for each thing that Takt can show a person."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
import yaml

from api.http.error_status import STATUS
from api.jobs.wait_reasons import Reason
from shared.conditions import KINDS, ConditionKind
from tests.support.documents import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "takt.rules.yml").read_text(encoding="utf-8"))
ALERTS = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]

LOUD = ("warning", "error", "exception", "critical")


def loud_events() -> Iterator[str]:
    """The events that gateways and workers log at the level of a warning or above."""
    for path in (path for part in ("api", "shared", "worker") for path in (ROOT / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(ast.Attribute(ast.Name(name), level), [ast.Constant(str(event)), *_]):
                    if name.endswith("log") and level in LOUD:
                        yield event


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def subjects(title: str) -> list[str]:
    """The text before the colon of each line of the section's lists."""
    lines = [line for line in section(title).splitlines() if line.startswith("- ")]
    return [line.split(": ")[0].removeprefix("- ") for line in lines]


@pytest.mark.parametrize("code", STATUS)
def test_every_code_that_a_gateway_answers_has_a_line_with_its_status(code: str) -> None:
    assert any(f"{STATUS[code]} `{code}`" in subject for subject in subjects("A request fails"))


def test_no_line_is_of_a_code_that_nobody_answers() -> None:
    told = re.findall(r"\d{3} `(\w+)`", " ".join(subjects("A request fails")))
    assert set(told) - {"method_not_allowed"} == set(STATUS)


def test_every_alert_is_named() -> None:
    assert len(ALERTS) > 15
    assert set(re.findall(r"`(Takt\w+)`", section("Conditions") + section("Alerts"))) == set(ALERTS)


def test_every_reason_why_a_job_waits_has_a_line() -> None:
    told = subjects("A job does not progress")
    assert {f"`{reason}`" for reason in Reason} <= set(told)


def test_the_list_of_conditions_is_the_list_in_the_code() -> None:
    told = [line for line in section("Conditions").splitlines() if line.startswith("- `")]
    assert told == [condition_line(kind) for kind in KINDS]


def condition_line(kind: ConditionKind) -> str:
    named = ", ".join(f"`{alert}`" for alert in kind.alerts)
    remarks = "; ".join(filter(None, (str(kind.severity), named)))
    return f"- `{kind.code}` ({remarks})"


def test_every_event_that_is_logged_as_a_warning_or_worse_has_a_line() -> None:
    events = set(loud_events())
    assert len(events) > 30
    told = set(re.findall(r"`(\w+)`", " ".join(subjects("Log events"))))
    assert told == events
