"""Short run of the power cuts: a cut in each mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.powercut.running import Run, run
from tests.powercut.verdicts import DOCUMENTED_S

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(400)]


def cut(durability: str, folder: Path) -> Run:
    done = run(durability, 1, folder, 7, print)
    assert done.faults == []
    assert (done.cuts, done.jobs > 5, done.predictions > 5) == (1, True, True)
    return done


def test_a_power_cut_with_memory_durability_loses_only_the_last_two_seconds(tmp_path: Path) -> None:
    assert cut("memory", tmp_path).oldest_lost_s <= DOCUMENTED_S


def test_a_power_cut_with_disk_durability_loses_no_job_that_was_acknowledged(tmp_path: Path) -> None:
    assert cut("disk", tmp_path).lost == 0
