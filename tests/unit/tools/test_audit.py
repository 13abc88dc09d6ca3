"""An audit without a database is neither clean nor a finding."""

from __future__ import annotations

import json

import pytest

from tools.audit import AuditVerdict, verdict_of

SKIPPED = {"name": "amqp", "skip_reason": "Dependency not found on PyPI and could not be audited"}
CLEAN = {"name": "idna", "version": "3.20", "vulns": []}
BAD = {"name": "idna", "version": "3.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.7"]}]}


@pytest.mark.parametrize("report", ["", "ConnectionError", "{}", json.dumps({"dependencies": [SKIPPED]})])
def test_an_unreachable_database_is_reported_and_is_no_finding(report: str) -> None:
    verdict = verdict_of(report)
    assert verdict.findings == ()
    assert "NOTHING WAS CHECKED" in verdict.as_text


def test_a_finding_names_the_package_and_its_fix() -> None:
    verdict = verdict_of(json.dumps({"dependencies": [SKIPPED, CLEAN, BAD]}))
    assert verdict == AuditVerdict(2, 1, ("idna 3.0: PYSEC-1, fixed in 3.7",))
    assert verdict.as_text == "audit: 2 packages checked, 1 findings; 1 not in the database"
