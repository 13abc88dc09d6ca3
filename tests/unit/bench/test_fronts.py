"""The fronts of the gateway's application that the study compares."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import patch

import pytest

from api.server.protocol import WholeAnswers
from bench.rivals import Place
from bench.studies.fronts import FRONTS, front
from bench.studies.fronts.without import LAYERS
from bench.subjects import subject

PLACE = Place(Path("folder"), 4711, Path("python"), subject("iris"), Path("iris.joblib"))


def test_every_front_listens_where_it_is_told_to() -> None:
    assert all(any("4711" in word for word in one.command(PLACE)) for one in FRONTS)


def test_the_first_front_is_the_gateway_as_it_is() -> None:
    assert list(FRONTS[0].command(PLACE))[-2:] == ["-m", "api"]


def test_other_servers_serve_the_same_application() -> None:
    others = [one for one in FRONTS if one.requirements or one.name in ("plain", "h11", "asyncio")]
    assert len(others) == 5
    assert all("bench.studies.fronts.app:app" in one.command(PLACE) for one in others)


@pytest.mark.parametrize("name", ["timers", "asgi", "two_writes"])
def test_a_front_leaves_out_layers_that_exist(name: str) -> None:
    words = list(front(name).command(PLACE))
    left_out = words[words.index("bench.studies.fronts.without") + 1 :]
    assert left_out
    with ExitStack() as held:
        for layer in left_out:
            target, replacement = LAYERS[layer]
            assert held.enter_context(patch(target, replacement)) is replacement


def test_without_whole_answers_head_and_body_are_written_separately() -> None:
    written: list[bytes] = []
    transport = cast(asyncio.Transport, SimpleNamespace(write=written.append))
    (target, two_writes) = LAYERS["whole_answers"]
    assert target.endswith(".WholeAnswers")
    head, body = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"{}"
    for kind, expected in ((WholeAnswers, [head + body]), (two_writes, [head, body])):
        written.clear()
        answers = cast(type[WholeAnswers], kind)(transport)
        answers.write(head)
        answers.write(body)
        assert written == expected


def test_an_unknown_front_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown front 'apache'; available: takt, timers"):
        front("apache")
