"""Traces of a real gateway and worker, as a collector gets them; and the logs of both."""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.collectors import Collector, Kept, collector
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = pytest.mark.integration

IRIS = {"sepal_length": 5.1234567, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
LIMIT_S = 30.0


@dataclass(frozen=True)
class Traced:
    """A Takt that is traced."""

    stack: Stack
    collector: Collector

    def trace(self, trace_id: str, *names: str) -> dict[str, Kept]:
        """The spans of a trace by name, as soon as these are there."""
        eventually(
            lambda: set(names) <= {span.name for span in self.collector.of_trace(trace_id)}, limit_s=LIMIT_S
        )
        return {span.name: span for span in self.collector.of_trace(trace_id)}


@pytest.fixture(scope="module")
def traced(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with pytest.MonkeyPatch.context() as patch, collector() as spans:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        settings = {"otlp_endpoint": spans.url, "log_format": "json", "access_log": "true"}
        with running(queue.url, tmp_path_factory.mktemp("traced"), **settings) as stack:
            stack.gateway()
            stack.worker("worker", models="iris")
            wait_until_ready(stack)
            yield Traced(stack, spans)


@pytest.fixture
def http(traced: Traced) -> Iterator[httpx.Client]:
    with traced.stack.client() as client:
        yield client


def new_traceparent(*, sampled: bool = True) -> tuple[str, str, dict[str, str]]:
    """A trace that a client begins: its id, its span's id, and the header."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, {"traceparent": f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"}


def test_the_trace_of_a_prediction_goes_from_its_client_through_the_queue_to_the_model(
    traced: Traced, http: httpx.Client
) -> None:
    trace_id, client_id, headers = new_traceparent()
    answer = http.post("/predict", json=IRIS, headers=headers | {"X-Request-ID": "of-a-client"})
    assert answer.status_code == 200
    spans = traced.trace(trace_id, "gateway", "queue", "batch", "predict", "reply", "serialize")
    gateway, batch = spans["gateway"], spans["batch"]
    assert (gateway.parent_id, gateway.kind, gateway.service) == (client_id, "SERVER", "takt-gateway")
    assert gateway.attributes["http.response.status_code"] == 200
    for stage in ("validate", "encode", "reply", "serialize"):
        assert (spans[stage].parent_id, spans[stage].service) == (gateway.span_id, "takt-gateway")
    for stage in ("queue", "batch"):
        assert (spans[stage].parent_id, spans[stage].service) == (gateway.span_id, "takt-worker")
    assert spans["predict"].parent_id == batch.span_id
    assert batch.links == {gateway.span_id}
    assert batch.attributes["takt.request_id"] == gateway.attributes["takt.request_id"] == "of-a-client"
    assert spans["queue"].ended_ns == batch.begun_ns <= spans["predict"].begun_ns
    assert spans["predict"].ended_ns == batch.ended_ns


def test_a_batch_of_several_requests_is_linked_to_them_all(traced: Traced, http: httpx.Client) -> None:
    found = eventually(lambda: shared_batches(traced, http), limit_s=2 * LIMIT_S)
    assert found is not None
    requests, batches = found
    heads = [batch for batch in batches if batch.links <= requests.keys()]
    followers = [batch for batch in batches if batch not in heads]
    assert all(batch.parent_id in batch.links for batch in heads)
    assert sorted(request for batch in heads for request in batch.links) == sorted(requests)
    heads_by_request = {request: batch.span_id for batch in heads for request in batch.links}
    assert all(batch.links == {heads_by_request[batch.parent_id]} for batch in followers)


def shared_batches(traced: Traced, http: httpx.Client) -> tuple[dict[str, Kept], list[Kept]] | None:
    """Sixteen requests at once, by their span, and their batch spans; nothing if each ran alone."""
    begun = [new_traceparent() for _ in range(16)]
    with ThreadPoolExecutor(len(begun)) as threads:
        asked = [threads.submit(http.post, "/predict", json=IRIS, headers=headers) for *_, headers in begun]
        assert [one.result().status_code for one in asked] == [200] * len(begun)
    traces = [traced.trace(trace_id, "gateway", "batch") for trace_id, *_ in begun]
    batches = [spans["batch"] for spans in traces]
    requests = {spans["gateway"].span_id: spans["gateway"] for spans in traces}
    return (requests, batches) if any(len(batch.links) > 1 for batch in batches) else None


def test_the_chunks_of_a_job_are_in_the_trace_of_its_submission(traced: Traced, http: httpx.Client) -> None:
    trace_id, _, headers = new_traceparent()
    job = http.post(
        "/jobs", json={"model": "iris", "inputs": [list(IRIS.values())] * 3}, headers=headers
    ).json()
    spans = traced.trace(trace_id, "gateway", "chunk")
    chunk = spans["chunk"]
    assert chunk.parent_id == spans["gateway"].span_id
    assert chunk.links == {chunk.parent_id}
    assert chunk.attributes["takt.job_id"] == job["id"]
    assert (chunk.attributes["takt.rows"], chunk.attributes["takt.outcome"]) == (3, "committed")


def test_a_request_that_is_not_sampled_leaves_no_span(traced: Traced, http: httpx.Client) -> None:
    quiet, _, headers = new_traceparent(sampled=False)
    assert http.post("/predict", json=IRIS, headers=headers).status_code == 200
    heard, _, headers = new_traceparent()
    assert http.post("/predict", json=IRIS, headers=headers).status_code == 200
    traced.trace(heard, "gateway", "batch")
    assert traced.collector.of_trace(quiet) == []


def test_a_request_that_is_refused_is_traced_with_its_status(traced: Traced, http: httpx.Client) -> None:
    trace_id, _, headers = new_traceparent()
    assert http.post("/predict", json={"sepal_length": 1}, headers=headers).status_code == 422
    assert traced.trace(trace_id, "gateway")["gateway"].attributes["http.response.status_code"] == 422


def test_events_of_a_request_have_its_ids_in_the_same_form(traced: Traced, http: httpx.Client) -> None:
    trace_id, _, headers = new_traceparent()
    asked = {"X-Request-ID": f"r-{trace_id}"}
    assert http.post("/predict?secret=of-the-query", json=IRIS, headers=headers | asked).status_code == 200
    body = {"model": "iris", "inputs": [list(IRIS.values())]}
    job = http.post("/jobs", json=body, headers=headers | asked).json()
    eventually(lambda: http.get(f"/jobs/{job['id']}").json()["state"] == "succeeded", limit_s=LIMIT_S)
    gateway, worker = (events(traced.stack.parts[name].log) for name in ("gateway", "worker"))
    of_request = [event for event in gateway if event.get("request_id") == f"r-{trace_id}"]
    assert [event["event"] for event in of_request] == ["request_ended", "job_submitted", "request_ended"]
    assert {event["trace_id"] for event in of_request} == {trace_id}
    assert of_request[0]["path"] == "/predict"
    assert of_request[0]["took_ms"] > 0
    assert any(event["event"] == "chunk_ended" and event["job_id"] == job["id"] for event in worker)


def events(log: Path) -> list[dict[str, Any]]:
    """Every line is an event (Any: its fields), the libraries' own too. Celery's signal handler alone writes
    two lines on stdout by itself, an empty line first."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line not in ("", "worker: Warm shutdown (MainProcess)")]


def test_nothing_of_the_inputs_is_in_what_was_exported_or_logged(traced: Traced, http: httpx.Client) -> None:
    trace_id, _, headers = new_traceparent()
    assert http.post("/predict", json=IRIS, headers=headers).status_code == 200
    traced.trace(trace_id, "gateway", "batch")
    written = b"".join(traced.collector.bodies)
    written += b"".join(part.log.read_bytes() for part in traced.stack.parts.values())
    assert b"5.1234567" not in written
    assert b"sepal" not in written
    assert b"of-the-query" not in written


def test_the_last_spans_are_sent_as_the_programs_stop_and_their_own_lines_are_events(traced: Traced) -> None:
    """The last test here: it ends the stack."""
    trace_id, _, headers = new_traceparent()
    with traced.stack.client() as http:
        assert http.post("/predict", json=IRIS, headers=headers).status_code == 200
    for name in ("gateway", "worker"):
        assert traced.stack.parts[name].end(signal.SIGTERM) == 0
    traced.trace(trace_id, "gateway", "queue", "batch", "predict", "reply")
    for name in ("gateway", "worker"):
        told = events(traced.stack.parts[name].log)
        assert all({"event", "level", "timestamp", "logger"} <= event.keys() for event in told)
