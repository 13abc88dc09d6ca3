"""The client's records match the gateway's OpenAPI document in fields and types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from shared.settings import Settings
from takt import calls, decoding, records
from takt.calls import Call, JobOptions
from takt.formats import Format
from tests.unit.gateway_fakes import MODELS, FakeRedis

RECORDS = {
    records.Job: "JobView",
    records.Failure: "JobError",
    records.Waiting: "Waiting",
    records.JobPage: "JobPage",
    records.Health: "Health",
    records.Model: "ModelSummary",
}
_JSON = {str: "string", int: "integer", float: "number", bool: "boolean", datetime: "string"}

_ENUMS = ("JobState", "Reason")
"""Enumerations that are plain text for the client: a newer service may add values."""

Schema = dict[str, Any]
"""An OpenAPI schema (Any: JSON)."""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    settings = Settings(models_dir=MODELS, payload_url=Path(tmp_path_factory.mktemp("payloads")).as_uri())
    found: Schema = create_app(settings, FakeRedis()).openapi()
    return found


def fields(record: type) -> Iterator[tuple[str, object]]:
    """Names and types of the fields that come from the service."""
    for name, kind in typing.get_type_hints(record).items():
        if name != "document":
            yield name, kind


def fits(kind: object, schema: Schema) -> bool:
    """Whether a value of this schema has this type."""
    if "anyOf" in schema or isinstance(kind, types.UnionType):
        kinds = set(typing.get_args(kind)) if isinstance(kind, types.UnionType) else {kind}
        branches = schema.get("anyOf", [schema])
        nullable = {"type": "null"} in branches
        others = [branch for branch in branches if branch != {"type": "null"}]
        (inner,) = kinds - {types.NoneType}
        return nullable == (types.NoneType in kinds) and all(fits(inner, branch) for branch in others)
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return RECORDS.get(typing.cast(type, kind)) == name or (kind is str and name in _ENUMS)
    if typing.get_origin(kind) is tuple:
        return bool(schema["type"] == "array") and fits(typing.get_args(kind)[0], schema["items"])
    if typing.get_origin(kind) is Mapping:
        return bool(schema["type"] == "object")
    is_time = schema.get("format") == "date-time"
    return bool(schema["type"] == _JSON[typing.cast(type, kind)] and is_time == (kind is datetime))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_each_field_of_a_record_is_the_services(document: Schema, record: type) -> None:
    schema = document["components"]["schemas"][RECORDS[record]]
    for name, kind in fields(record):
        assert name in schema["properties"], f"{record.__name__}.{name} is not in {RECORDS[record]}"
        assert fits(kind, schema["properties"][name]), (
            f"{record.__name__}.{name}: {kind} is not {schema['properties'][name]}"
        )


def test_the_comparison_sees_a_wrong_type() -> None:
    assert fits(int, {"type": "integer"})
    assert not fits(int, {"type": "string"})
    assert not fits(int, {"anyOf": [{"type": "integer"}, {"type": "null"}]})
    assert not fits(int | None, {"type": "integer"})
    assert not fits(str, {"type": "string", "format": "date-time"})
    assert not fits(tuple[int, ...], {"type": "array", "items": {"type": "string"}})


def test_the_states_that_end_a_job_are_the_services(document: Schema) -> None:
    states = set(document["components"]["schemas"]["JobState"]["enum"])
    assert states - records.ENDED == {"uploading", "queued", "running", "paused", "canceling"}


def test_the_services_own_example_is_a_job(document: Schema) -> None:
    schema = document["components"]["schemas"]["JobView"]
    (example,) = schema["examples"]
    job = decoding.job_of(dict.fromkeys(schema["properties"]) | example)  # FastAPI leaves nulls out
    assert (job.rows_done, job.tags, job.created_at.utcoffset()) == (
        10_000,
        ("line-2",),
        timedelta(0),
    )


def parameters(document: Schema, path: str, method: str) -> set[str]:
    return {each["name"] for each in document["paths"][path][method].get("parameters", ())}


def test_every_path_that_is_called_exists(document: Schema) -> None:
    made: list[Call[Any]] = [  # Any: their result types
        calls.predict({}, "iris", None),
        calls.predict_batch([], None, None),
        calls.submit([[1]], JobOptions("iris")),
        calls.job("{job_id}"),
        calls.jobs({}),
        calls.events("{job_id}", ""),
        calls.results("{job_id}", Format.CSV),
        calls.errors("{job_id}", Format.CSV),
        calls.manifest("{job_id}"),
        calls.timeline("{job_id}"),
        calls.prioritize("{job_id}", 1),
        calls.delete("{job_id}"),
        calls.health,
        calls.models,
        *(calls.act("{job_id}", action) for action in ("cancel", "pause", "resume")),
    ]
    for call in made:
        path = call.path.replace("%7Bjob_id%7D", "{job_id}")
        assert call.method.lower() in document["paths"].get(path, ()), f"{call.method} {path}"


def test_every_parameter_that_is_sent_is_the_services(document: Schema) -> None:
    listed = typing.get_type_hints(calls.JobFilter).keys() | {"limit", "cursor"}
    assert listed <= parameters(document, "/jobs", "get")
    assert {"format", "partial"} <= parameters(document, "/jobs/{job_id}/results", "get")
    assert "format" in parameters(document, "/jobs/{job_id}/errors", "get")
    said = document["components"]["schemas"]["Submission"]["properties"].keys()
    everything = JobOptions("iris", "1", "r", ["t"], 1, 1, expires_in_s=1.0, webhook_url="https://x")
    assert everything.document().keys() <= said


def test_the_keyword_arguments_are_the_fields_of_job_options() -> None:
    named = {field.name for field in dataclasses.fields(JobOptions)} - {"model"}
    assert typing.get_type_hints(calls.JobOptionsArguments).keys() == named
