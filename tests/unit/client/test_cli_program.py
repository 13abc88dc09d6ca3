"""The `takt` program: client commands, and operator commands from entry points."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from stack import cli as stack_cli
from takt import cli

RUNNER = CliRunner()


def program(monkeypatch: pytest.MonkeyPatch, **commands: str) -> typer.Typer:
    """The program with these entry points installed."""
    points = EntryPoints(EntryPoint(name, value, "takt.commands") for name, value in commands.items())
    monkeypatch.setattr(cli, "entry_points", lambda group: points.select(group=group))
    joined = typer.Typer()
    joined.callback()(lambda: None)
    cli.join_installed(joined)
    return joined


def test_an_entry_point_is_a_command_or_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = program(monkeypatch, doctor="stack.cli:doctor", workers="stack.cli:workers")
    listed = RUNNER.invoke(joined, ["--help"]).output
    assert "doctor" in listed
    assert "list" in RUNNER.invoke(joined, ["workers", "--help"]).output


def test_operator_commands_that_are_not_installed_print_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joined = program(monkeypatch)
    assert "up" not in RUNNER.invoke(joined, ["--help"]).output.split()
    result = RUNNER.invoke(joined, ["up", "--port", "8001"])
    assert result.exit_code == 1
    assert "run `make up`" in result.stderr


def test_an_operator_command_that_cannot_be_imported_names_the_missing_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = RUNNER.invoke(program(monkeypatch, up="nowhere.at_all:up"), ["up"])
    assert result.exit_code == 1
    assert "No module named 'nowhere'" in result.stderr


def test_help_loads_neither_http_nor_settings() -> None:
    source = (
        "import sys; from takt.cli import app, join_installed; join_installed(app);"
        "print(sorted(m for m in ('httpx', 'pydantic', 'redis', 'numpy', 'psutil') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_installed_version() -> None:
    assert RUNNER.invoke(cli.app, ["--version"]).output.startswith("takt 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "--models-dir", "/nowhere"], "/nowhere: there is no such folder"),
        (["list", "--models-dir", "/nowhere"], "/nowhere: there is no such folder"),
    ],
)
def test_an_operator_error_is_a_message_and_exit_code_1(arguments: list[str], message: str) -> None:
    result = RUNNER.invoke(stack_cli.models, arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_the_workers_of_no_stack_are_not_an_empty_table(tmp_path: Path) -> None:
    result = RUNNER.invoke(stack_cli.workers, ["list", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "no stack runs in" in result.stderr
