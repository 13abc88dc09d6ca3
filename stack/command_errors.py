"""Errors of the operator's commands. The CLI prints their detail and no traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ClassVar, ParamSpec, TypeVar

import typer

from shared.errors import OperatorError, ServiceError

P = ParamSpec("P")
R = TypeVar("R")


class CommandError(OperatorError):
    """The command cannot be carried out; the detail gives the reason and the fix."""

    code: ClassVar[str] = "refused"


class ServiceFailedError(CommandError):
    """A service exited before it was ready; the detail ends with the last lines of its log."""

    def __init__(self, service: str, how: str, last_lines: list[str]) -> None:
        self.service = service
        self.last_lines = last_lines
        lines = "".join(f"\n    {line}" for line in last_lines)
        super().__init__(f"{service} {how} before it was ready. Last lines of its log:{lines or ' none'}")


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Print a ServiceError as a line on stderr and exit with code 1, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if command.__name__ != "doctor":  # doctor reports them as findings
            _warn_of_unknown_settings()
        try:
            return command(*args, **kwargs)
        except ServiceError as error:
            typer.secho(f"takt: {error.detail}", fg="red", err=True)
            raise typer.Exit(1) from None

    return wrapped


def _warn_of_unknown_settings() -> None:
    from shared.setting_names import unknown_in_environment

    for unknown in unknown_in_environment():
        typer.secho(f"takt: {unknown.sentence}", fg="yellow", err=True)
