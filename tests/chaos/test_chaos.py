"""The one-minute run of the chaos suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.plan import SHORT_ROUND
from tests.chaos.questions import Form
from tests.chaos.report import report
from tests.chaos.rpcs import AVAILABLE
from tests.chaos.running import Terms, run

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(400)]


def test_a_minute_of_chaos_loses_nothing_doubles_nothing_and_answers_nothing_wrong(tmp_path: Path) -> None:
    terms = Terms(seed=5, minutes=0.4, least_faults=2, round_of=SHORT_ROUND, job_loops=2, connections=4)
    done = run(terms, tmp_path, print)
    assert done.kept_its_promise, f"{report(done)}\n\n{last_words(tmp_path)}"
    assert len(done.faults) >= 2
    assert done.jobs.rows > 1000
    assert done.requests.right > 100
    forms = [form for form in Form if AVAILABLE or form is not Form.GRPC]
    assert all(done.requests.right_by[form] > 5 for form in forms), done.requests.right_by


def last_words(folder: Path) -> str:
    """The end of each part's log."""
    return "\n".join(
        f"── {log.name}\n{log.read_text(errors='replace')[-4000:]}" for log in folder.glob("*.log")
    )
