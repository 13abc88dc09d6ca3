"""What the documents show: their code blocks, and curl commands with the answers that stand below them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
LEFT_OUT = "…"
"""The key that stands for fields of an answer that are not shown."""

_BLOCK = re.compile(r"^```(\w*)(?: title=\"[^\"\n]*\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLED = re.compile(r"^```\w+ title=\"([^\"\n]*)\"\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    kind: str  # what stands behind the fence: bash, json, …
    code: str


@dataclass(frozen=True)
class Curl:
    """A curl command, and the JSON that it answers (Any: a model's own fields)."""

    command: str
    answer: Any
    arguments: tuple[str, ...]

    @property
    def path(self) -> str:
        url = next(argument for argument in self.arguments if argument.startswith("http://"))
        return urlsplit(url).path

    @property
    def method(self) -> str:
        return self.arguments[self.arguments.index("-X") + 1] if "-X" in self.arguments else "GET"

    @property
    def body(self) -> Any:
        """The JSON that it sends; None where it sends nothing."""
        if "-d" not in self.arguments:
            return None
        return json.loads(self.arguments[self.arguments.index("-d") + 1])

    @property
    def predicts(self) -> bool:
        return self.path.removesuffix("/batch").endswith("/predict")

    @property
    def model(self) -> str:
        """The model that it asks, iris where it leaves that open."""
        if self.path.startswith("/models/"):
            return self.path.split("/")[2]
        return str(self.body["model"]) if self.path == "/jobs" else "iris"


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a Markdown file, in their order."""
    return [Block(kind, code.rstrip("\n")) for kind, code in _BLOCK.findall(path.read_text(encoding="utf-8"))]


def titled(path: Path) -> list[tuple[str, str]]:
    """The title and the text of each block that has one: a file's name, or what a test does with it."""
    return _TITLED.findall(path.read_text(encoding="utf-8"))


def curls(path: Path) -> Iterator[Curl]:
    """The curl commands of a Markdown file that have an answer in the block below."""
    found = blocks(path)
    for command, answer in pairwise(found):
        if command.kind == "bash" and command.code.startswith("curl ") and answer.kind == "json":
            yield Curl(command.code, json.loads(answer.code), tuple(shlex.split(command.code)))
