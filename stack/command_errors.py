"""Errors of the operator's commands. The CLI prints their detail and no traceback."""

from __future__ import annotations

from typing import ClassVar

from shared.errors import OperatorError


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
