"""The servers that may stand before the gateway's application."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.rivals import Place
from bench.studies.fronts import FRONTS, front
from bench.subjects import subject

PLACE = Place(Path("folder"), 4711, Path("python"), subject("iris"), Path("iris.joblib"))


def test_every_front_listens_where_it_is_told_to() -> None:
    assert all(any("4711" in word for word in one.command(PLACE)) for one in FRONTS)


def test_the_first_front_is_the_gateway_as_it_is() -> None:
    assert list(FRONTS[0].command(PLACE))[-2:] == ["-m", "api"]


def test_servers_of_others_serve_the_same_application() -> None:
    assert all(
        one.command(PLACE)[-1] == "bench.studies.fronts.app:app" for one in FRONTS[1:] if one.requirements
    )
    assert all("bench.studies.fronts.app:app" in one.command(PLACE) for one in FRONTS[1:])


def test_an_unknown_front_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown front 'apache'; available: takt, plain"):
        front("apache")
