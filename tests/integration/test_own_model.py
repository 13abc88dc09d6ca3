"""docs/own-model.md, unchanged: its files are created, its commands run, and the answers match."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.documents import ROOT, assert_as_shown, blocks, curls, titled
from tests.support.servers import free_port
from tests.support.terminals import Terminal

pytestmark = [pytest.mark.integration, pytest.mark.tools, pytest.mark.timeout(600)]

PAGE = ROOT / "docs" / "own-model.md"


def test_two_models_of_ones_own_are_built_proved_and_served_by_what_the_page_says(tmp_path: Path) -> None:
    for name, text in titled(PAGE):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    terminal = Terminal(tmp_path, free_port())
    build, serve = [block.code for block in blocks(PAGE) if block.code.startswith(".venv/bin/takt ")]
    terminal.types(build)
    with terminal.serving(serve):
        asked = list(curls(PAGE))
        assert [curl.model for curl in asked] == ["progress", "torque"]
        for curl in asked:
            assert_as_shown(json.loads(terminal.types(curl.command)), curl.answer)
