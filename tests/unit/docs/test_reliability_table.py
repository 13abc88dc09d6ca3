"""docs/reliability.md: the possible loss by fault and durability mode, with a test for each cell."""

from __future__ import annotations

import re

import pytest

from shared.durability import Promise
from tests.support.documents import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Possible loss by fault\n")[2].partition("\n## ")[0]
TABLE = "| fault |" + SECTION.partition("| fault |")[2].partition("\n\n")[0]
HEAD, _, *ROWS = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in TABLE.splitlines())
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("**/test_*.py"))
CELLS = [(row[0], mode, cell) for row in ROWS for mode, cell in zip(HEAD[1:], row[1:], strict=True)]


def test_the_table_has_a_column_for_each_mode_and_all_faults() -> None:
    assert [name.strip("`") for name in HEAD[1:]] == list(Promise)
    assert len(ROWS) >= 8


@pytest.mark.parametrize(("fault", "mode", "cell"), CELLS)
def test_each_cell_says_what_may_be_lost_and_names_tests_that_exist(fault: str, mode: str, cell: str) -> None:
    named = re.findall(r"`(test_\w+)`", cell)
    assert named, f"{fault}, {mode}"
    assert re.match(r"[A-Za-z]", cell), f"{fault}, {mode}: what may be lost comes first"
    assert [name for name in named if f"def {name}(" not in TESTS] == []
