"""Each command in the guides is run by a test or has a reason why not; its arguments:
`test_documented_names.py`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documents import ROOT, commands, curls

GUIDES = sorted((ROOT / "docs").glob("*.md"))
EVERY_GUIDE = pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)


@EVERY_GUIDE
def test_each_command_is_run_by_a_test_or_says_why_not(page: Path) -> None:
    unmarked = [command.code for command in commands(page) if not (command.run_by or command.why_not)]
    assert unmarked == [], "write `<!-- run by tests/… -->` or `<!-- not run: why -->` above the block"


@EVERY_GUIDE
def test_a_test_that_is_named_reads_the_page(page: Path) -> None:
    for file in {command.run_by for command in commands(page) if command.run_by}:
        assert f'"{page.name}"' in (ROOT / file).read_text(encoding="utf-8"), file


@EVERY_GUIDE
def test_a_test_that_is_named_in_a_reason_is_there(page: Path) -> None:
    said = " ".join(command.why_not for command in commands(page))
    for name in re.findall(r"test_\w+\.py", said):
        assert list((ROOT / "tests").rglob(name)), name


def test_of_the_http_api_each_command_has_its_answer_below() -> None:
    page = ROOT / "docs" / "http-api.md"
    assert [curl.command for curl in curls(page)] == [command.code for command in commands(page)]
