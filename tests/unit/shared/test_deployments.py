"""A deployment that contradicts itself is refused, and a stored deployment is read as it was written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.deployments import (
    Change,
    Deployment,
    Target,
    decode_deployment,
    encode_deployment,
    read_request,
)
from shared.errors import InvalidInputError

GOOD: dict[str, Any] = {
    "wanted": ["1.0.0", "1.1.0"],
    "default": "1.0.0",
    "aliases": {"candidate": "1.1.0"},
    "split": {"1.0.0": 90, "1.1.0": 10},
    "reason": "canary",
}


def test_a_demand_is_read_with_its_reason() -> None:
    demand = read_request(msgspec.json.encode(GOOD))
    assert demand.reason == "canary"
    assert demand.target == Target(
        wanted=("1.0.0", "1.1.0"),
        default="1.0.0",
        aliases={"candidate": "1.1.0"},
        split={"1.0.0": 90.0, "1.1.0": 10.0},
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"default": "2.0.0"}, "default: 2.0.0 is not among the wanted versions"),
        ({"split": {"1.0.0": 90, "1.1.0": 20}}, "sum to 110, not to 100"),
        ({"split": {"1.0.0": 90, "3.0.0": 10}}, "split: 3.0.0 is not among"),
        ({"aliases": {"champion": "3.0.0"}}, "aliases: 3.0.0 is not among"),
        ({"aliases": {"Champion!": "1.0.0"}}, "is not a deployment"),
        ({"shadow": {"version": "2.0.0"}}, "2.0.0 is not among the wanted versions"),
        ({"mirror": {"version": "1.1.0"}}, "unknown field `mirror`"),
        ({"wanted": []}, "is not a deployment"),
        ({"wanted": ["1.0.0", "1.0.0", "1.1.0"]}, "a version occurs twice"),
        ({"wanted": ["../etc"]}, "is not a deployment"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_contradiction_is_refused_with_its_part(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        read_request(msgspec.json.encode(GOOD | changes))


def test_a_stored_deployment_is_read_as_it_was_written() -> None:
    target = read_request(msgspec.json.encode(GOOD)).target
    stored = Deployment(
        model="iris",
        target=target,
        replaced=Target(wanted=("0.9.0",), default="0.9.0"),
        change=Change(by="mes"),
    )
    assert decode_deployment(encode_deployment(stored)) == stored
    assert decode_deployment(b"{}") is None
