"""Events of MLflow's registry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.errors import InvalidInputError
from shared.registry_events import decode_event, encode_event, name_of_registered, read_event


def body(**changes: Any) -> bytes:
    event = {
        "entity": "model_version_alias",
        "action": "created",
        "timestamp": "2026-12-01T10:00:00.000250+00:00",
        "data": {"name": "Failure Model", "version": "3", "alias": "champion"},
    }
    return msgspec.json.encode(event | changes)


def test_an_alias_names_a_version_of_a_model() -> None:
    event = read_event(body())
    assert event is not None
    assert (event.key, event.alias, event.at_us % 1000) == ("failure-model@3.0.0", "champion", 250)
    assert event.source == "mlflow:/Failure Model/3"
    assert decode_event(encode_event(event)) == event


def test_a_delivery_that_is_repeated_has_the_same_id_and_another_alias_has_not() -> None:
    first, again = read_event(body()), read_event(body())
    other = read_event(body(data={"name": "Failure Model", "version": "3", "alias": "candidate"}))
    registered = read_event(body(entity="model_version", data={"name": "Failure Model", "version": "3"}))
    assert first is not None
    assert again is not None
    assert other is not None
    assert registered is not None
    assert first.id == again.id
    assert len({first.id, other.id, registered.id}) == 3


@pytest.mark.parametrize("kind", [("prompt", "created"), ("model_version_alias", "deleted")])
def test_other_events_are_none(kind: tuple[str, str]) -> None:
    assert read_event(body(entity=kind[0], action=kind[1])) is None


@pytest.mark.parametrize(
    "data",
    [
        {"name": "a/b", "version": "1"},
        {"name": "a", "version": "1; rm"},
        {"name": "", "version": "1"},
        {"name": "한국", "version": "1"},
        {"name": "a@b", "version": "1"},
    ],
)
def test_names_that_are_part_of_no_uri_are_refused(data: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        read_event(body(data=data))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"entity": 1}'])
def test_a_body_that_is_no_event_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInputError, match="not an event of MLflow"):
        read_event(text)


def test_a_time_without_its_zone_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="timezone component"):
        read_event(body(timestamp="2026-12-01T10:00:00"))


def test_a_registered_model_gets_a_name_of_takt() -> None:
    assert name_of_registered("Failure Model") == "failure-model"
    assert name_of_registered("///") == ""
