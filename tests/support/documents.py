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

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = "…"
"""What is not shown: as a key, fields of an answer; in printed text, anything within a line."""
OF_THE_MOMENT = {"uptime_seconds", "id", "job_id"}
"""Fields whose values are another one each time."""

_BLOCK = re.compile(r"^```(\w*)(?: title=\"[^\"\n]*\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(
    r"^(?: *<!-- (?:run by (?P<run_by>\S+)|not run: (?P<why>[^\n]+)) -->\n)?"
    r" *```(?:bash|sh)(?: title=\"[^\"\n]*\")?\n(?P<code>.*?)^ *```$"
    r"(?:\n\n```(?P<kind>json|text)\n(?P<shown>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
_TITLED = re.compile(r"^```\w+ title=\"([^\"\n]*)\"\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    kind: str  # what stands behind the fence: bash, json, …
    code: str


@dataclass(frozen=True)
class Command:
    """A block that is typed into a shell: which test runs it, or why none does."""

    code: str
    run_by: str  # a file of tests; empty: none
    why_not: str  # empty: a test runs it
    shown: Block | None  # what it prints, as JSON or as text


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


def commands(path: Path) -> list[Command]:
    """The blocks of a Markdown file that are typed into a shell, with the remark that stands above each."""
    return [
        Command(
            found["code"].rstrip("\n"),
            found["run_by"] or "",
            found["why"] or "",
            Block(found["kind"], found["shown"]) if found["kind"] else None,
        )
        for found in _COMMAND.finditer(path.read_text(encoding="utf-8"))
    ]


def titled(path: Path) -> list[tuple[str, str]]:
    """The title and the text of each block that has one: a file's name, or what a test does with it."""
    return _TITLED.findall(path.read_text(encoding="utf-8"))


def curls(path: Path) -> Iterator[Curl]:
    """The curl commands of a Markdown file that have an answer in the block below."""
    found = blocks(path)
    for command, answer in pairwise(found):
        if command.kind == "bash" and command.code.startswith("curl ") and answer.kind == "json":
            yield Curl(command.code, json.loads(answer.code), tuple(shlex.split(command.code)))


def as_shown(printed: str, shown: str) -> bool:
    """Whether each line that is shown was printed, in their order and no other; blanks count as one."""
    lines, wanted = (
        [" ".join(line.split()) for line in text.strip().splitlines()] for text in (printed, shown)
    )
    return len(lines) == len(wanted) and all(
        re.fullmatch(".*".join(map(re.escape, line.split(LEFT_OUT))), was)
        for line, was in zip(wanted, lines, strict=True)
    )


def assert_as_shown(answer: dict[str, Any], shown: dict[str, Any]) -> None:
    """What is shown has the value that is shown, probabilities nearly; nothing else is there."""
    fields = shown.keys() - {LEFT_OUT}
    assert fields <= answer.keys() if LEFT_OUT in shown else list(answer) == list(shown)
    for field in fields - OF_THE_MOMENT:
        _assert_alike(answer[field], shown[field])


def _assert_alike(value: Any, shown: Any) -> None:
    match shown:
        case list():
            assert len(value) == len(shown)
            for one, other in zip(value, shown, strict=True):
                _assert_alike(one, other)
        case dict():
            assert_as_shown(value, shown)
        case float():  # another release of scikit-learn may grow slightly other trees
            assert value == pytest.approx(shown, abs=0.03)
        case _:
            assert value == shown
