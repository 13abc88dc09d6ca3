"""docs/quick-start.md, unchanged: each command prints the output shown below it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.documents import ROOT, as_shown, assert_as_shown, commands
from tests.support.servers import free_port
from tests.support.terminals import Terminal

pytestmark = [pytest.mark.integration, pytest.mark.tools, pytest.mark.timeout(600)]

COMMANDS = [command for command in commands(ROOT / "docs" / "quick-start.md") if command.run_by]
SERVE = next(command for command in COMMANDS if "takt up" in command.code)


def test_what_is_typed_prints_what_is_shown(models: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(models)
    terminal = Terminal(tmp_path, free_port(), models="iris")
    with terminal.serving(SERVE.code):
        for command in COMMANDS:
            if command is SERVE:
                continue
            printed = terminal.types(command.code)
            match command.shown:
                case ("json", text):
                    assert_as_shown(json.loads(printed), json.loads(text))
                case ("text", text):
                    assert as_shown(printed, text), printed
                case _:
                    assert "all checks passed" in printed or "passed with warnings" in printed
