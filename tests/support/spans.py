"""The code in the documents' text: what stands between backticks, and the lines for a shell."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.documents import blocks

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_COMMENT = re.compile(r"(^|\s)#.*$")


def spans(path: Path) -> list[str]:
    """What stands between single backticks, outside of the fenced blocks."""
    return _SPAN.findall(_FENCED.sub("", path.read_text(encoding="utf-8")))


def shell_lines(path: Path) -> list[str]:
    """The lines of the bash blocks, without comments; one that goes on is one line."""
    code = "\n".join(block.code for block in blocks(path) if block.kind == "bash").replace("\\\n", " ")
    return [line for line in (_COMMENT.sub("", line).strip() for line in code.splitlines()) if line]
