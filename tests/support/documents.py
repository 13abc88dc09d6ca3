"""Code blocks of the documents, and curl commands with the answers shown below them."""

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
"""Marks an omission: as a key, of fields of an answer; in printed text, of a part of a line."""
OF_THE_MOMENT = {"uptime_seconds", "id", "job_id"}
"""Fields with a different value in each run."""

_BLOCK = re.compile(r"^```(\w*)(?: title=\"[^\"\n]*\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(
    r"^(?: *<!-- (?:run by (?P<run_by>\S+)|not run: (?P<why>[^\n]+)) -->\n)?"
    r" *```(?:bash|sh)(?: title=\"[^\"\n]*\")?\n(?P<code>.*?)^ *```$"
    r"(?:\n\n```(?P<kind>json|text)\n(?P<shown>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
_TITLED = re.compile(r"^```\w+ title=\"([^\"\n]*)\"\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    kind: str  # the info string of the fence: bash, json, …
    code: str


@dataclass(frozen=True)
class Command:
    """A shell block, with the test that runs it, or the reason why no test does."""

    code: str
    run_by: str  # a test file; empty: none
    why_not: str  # empty: a test runs it
    shown: Block | None  # its output, as JSON or as text


@dataclass(frozen=True)
class Curl:
    """A curl command and its JSON answer (Any: a model's own fields)."""

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
        """The JSON of the request body; None if there is no body."""
        if "-d" not in self.arguments:
            return None
        return json.loads(self.arguments[self.arguments.index("-d") + 1])

    @property
    def predicts(self) -> bool:
        return self.path.removesuffix("/batch").endswith("/predict")

    @property
    def model(self) -> str:
        """The requested model; iris if the command names none."""
        if self.path.startswith("/models/"):
            return self.path.split("/")[2]
        return str(self.body["model"]) if self.path == "/jobs" else "iris"


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a Markdown file, in order."""
    return [Block(kind, code.rstrip("\n")) for kind, code in _BLOCK.findall(path.read_text(encoding="utf-8"))]


def commands(path: Path) -> list[Command]:
    """The shell blocks of a Markdown file, each with the remark above it."""
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
    """Title and text of each block with a title, which is a file name or an instruction for a test."""
    return _TITLED.findall(path.read_text(encoding="utf-8"))


def curls(path: Path) -> Iterator[Curl]:
    """The curl commands of a Markdown file with an answer in the block below."""
    found = blocks(path)
    for command, answer in pairwise(found):
        if command.kind == "bash" and command.code.startswith("curl ") and answer.kind == "json":
            yield Curl(command.code, json.loads(answer.code), tuple(shlex.split(command.code)))


def as_shown(printed: str, shown: str) -> bool:
    """Whether the printed lines match the shown lines in order; consecutive blanks count once."""
    lines, wanted = (
        [" ".join(line.split()) for line in text.strip().splitlines()] for text in (printed, shown)
    )
    return len(lines) == len(wanted) and all(
        re.fullmatch(".*".join(map(re.escape, line.split(LEFT_OUT))), was)
        for line, was in zip(wanted, lines, strict=True)
    )


def assert_as_shown(answer: dict[str, Any], shown: dict[str, Any]) -> None:
    """Whether an answer has exactly the shown fields and values; probabilities are approximate."""
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
