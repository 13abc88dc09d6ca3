"""Why a command of the stack ends without doing what it was asked: always words, never a traceback."""

from __future__ import annotations

from typing import ClassVar

from shared.errors import OperatorError


class CommandError(OperatorError):
    """The stack cannot do this here; the detail says why and what to do."""

    code: ClassVar[str] = "refused"


class ServiceFailed(CommandError):
    """A part ended before it was ready; the detail ends with its last words."""

    def __init__(self, part: str, how: str, last_lines: list[str]) -> None:
        self.part = part
        self.last_lines = last_lines
        words = "".join(f"\n    {line}" for line in last_lines)
        super().__init__(f"{part} {how} before it was ready. Its last words:{words or ' none'}")
