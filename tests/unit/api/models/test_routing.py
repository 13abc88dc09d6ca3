"""Requests follow a split, sticky keys stay where they are, and only held versions get requests."""

from __future__ import annotations

from collections import Counter

import pytest

from api.models.routing import Route, place_of, route_of
from shared.deployments import Target

VERSIONS = {version: version for version in ("1.0.0", "1.1.0", "1.2.0")}


def target(**changes: object) -> Target:
    return Target(**({"wanted": ("1.0.0", "1.1.0"), "default": "1.0.0"} | changes))  # type: ignore[arg-type]


def route(one: Target, held: set[str], current: str = "1.0.0") -> Route[str]:
    return route_of(one, VERSIONS, held.__contains__, current, current in held)


@pytest.mark.parametrize("percent", [0.0, 1.0, 10.0, 50.0, 99.5, 100.0])
def test_a_split_is_within_three_standard_deviations(percent: float) -> None:
    split = {"1.0.0": 100 - percent, "1.1.0": percent}
    found = route(target(split=split), {"1.0.0", "1.1.0"})
    drawn = Counter(found.choose(place_of(b"%d" % n)) for n in range(20_000))
    deviation = (20_000 * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(drawn["1.1.0"] - 20_000 * percent / 100) <= 3 * deviation
    at_random = Counter(found.choose(place_of(None)) for _ in range(20_000))
    assert abs(at_random["1.1.0"] - 20_000 * percent / 100) <= 4 * deviation


def test_a_key_moves_once_while_a_share_grows() -> None:
    keys = [b"machine-%d" % n for n in range(500)]
    before: set[bytes] = set()
    for percent in (1.0, 10.0, 25.0, 50.0, 100.0):
        found = route(target(split={"1.0.0": 100 - percent, "1.1.0": percent}), {"1.0.0", "1.1.0"})
        now = {key for key in keys if found.choose(place_of(key)) == "1.1.0"}
        assert before <= now
        before = now
    assert len(before) == len(keys)


def test_a_default_moves_once_its_version_is_held() -> None:
    promoted = target(default="1.1.0")
    assert route(promoted, {"1.0.0"}).default == "1.0.0"
    assert route(promoted, {"1.0.0", "1.1.0"}).default == "1.1.0"
    assert route(promoted, set()).default == "1.1.0", "nothing is lost if nobody holds either"


def test_the_share_of_a_version_that_nobody_holds_goes_to_the_default() -> None:
    found = route(target(split={"1.0.0": 20, "1.1.0": 80}), {"1.0.0"})
    assert {found.choose(place) for place in range(100)} == {"1.0.0"}


def test_an_alias_names_a_version() -> None:
    found = route(target(aliases={"champion": "1.0.0", "candidate": "1.1.0"}), {"1.0.0"})
    assert found.aliases == {"champion": "1.0.0", "candidate": "1.1.0"}
