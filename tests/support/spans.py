"""Code in the text of documents: inline code, and lines of shell blocks."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.documents import blocks

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_COMMENT = re.compile(r"(^|\s)#.*$")


def spans(path: Path) -> list[str]:
    """Inline code outside the fenced blocks."""
    return _SPAN.findall(_FENCED.sub("", path.read_text(encoding="utf-8")))


def shell_lines(path: Path) -> list[str]:
    """The lines of the bash blocks, without comments; continued lines are joined."""
    code = "\n".join(block.code for block in blocks(path) if block.kind == "bash").replace("\\\n", " ")
    return [line for line in (_COMMENT.sub("", line).strip() for line in code.splitlines()) if line]
