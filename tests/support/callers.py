"""Clients of a running Takt: single jobs from submission to result, and many parallel connections."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx

from tests.support.bodies import ARROW
from tests.support.polling import eventually

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
"""The guide's first flower: a setosa."""


def finished(
    http: httpx.Client, location: str, *, limit_s: float = 60.0, outage: bool = False
) -> dict[str, Any]:
    """Wait for a job's end and return it; with `outage`, a 503 is retried."""

    def ended() -> dict[str, Any] | None:
        answer = http.get(location)
        if outage and answer.status_code == 503:
            return None
        job: dict[str, Any] = answer.raise_for_status().json()
        return job if job["state"] in ("succeeded", "failed", "canceled") else None

    job = eventually(ended, limit_s=limit_s)
    assert job is not None
    return job


def handed_over(
    http: httpx.Client, model: str, body: Iterable[bytes], media_type: str = ARROW, **query: str
) -> str:
    """Submit a file, by default an Arrow stream, and return the location of its job."""
    answer = http.post(
        "/jobs", params={"model": model} | query, content=body, headers={"Content-Type": media_type}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.headers["Location"])


def job_results(http: httpx.Client, model: str, inputs: Sequence[object]) -> list[dict[str, Any]]:
    """Submit rows as a job, wait for its end, and read every result."""
    answer = http.post("/jobs", json={"model": model, "inputs": inputs})
    assert answer.status_code == 202, answer.text
    job = finished(http, answer.headers["Location"])
    assert job["state"] == "succeeded", job
    results: list[dict[str, Any]] = http.get(job["links"]["results"]).raise_for_status().json()["results"]
    return results


def batch_results(http: httpx.Client, model: str, inputs: Sequence[object]) -> list[dict[str, Any]]:
    """The same rows by /predict/batch."""
    answer = http.post(f"/models/{model}/predict/batch", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


@dataclass(frozen=True)
class Answer:
    """The parts of an HTTP response that tests check."""

    status_code: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # Any: JSON
        return json.loads(self.body)


async def predict_all(
    url: str, bodies: Sequence[dict[str, object]], *, connections: int, path: str = "/predict"
) -> list[Answer]:
    """Send every body once over parallel connections. Returns answers in the order of the bodies.

    Plain sockets are used, because a client library needs more CPU time than the service.
    """
    turns = iter(enumerate(bodies))
    answers: dict[int, Answer] = {}
    host, port = url.removeprefix("http://").split(":")

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for number, body in turns:
                answers[number] = await post(reader, writer, path, json.dumps(body).encode())
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    tasks = [asyncio.create_task(connection()) for _ in range(connections)]
    try:
        await asyncio.wait_for(asyncio.gather(*tasks), 90)
    finally:  # if a connection breaks, the others end with it
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [answers[number] for number in range(len(bodies))]


async def post(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    path: str,
    body: bytes,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """Send a request on an open connection; a body is JSON unless the headers differ.

    Raises OSError or EOFError if the connection breaks.
    """
    every = {"host": "takt", "content-type": "application/json", "content-length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in every.items())
    writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    found = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(status.split()[1]), found, await reader.readexactly(int(found["content-length"])))


def stages(response: httpx.Response | Answer) -> dict[str, float]:
    """Milliseconds by stage, from Server-Timing."""
    found = re.findall(r"(\w+)(?:;desc=\"[^\"]*\")?;dur=([\d.]+)", response.headers["server-timing"])
    return {name: float(duration) for name, duration in found}


def batch_rows(response: httpx.Response | Answer) -> int:
    """Rows of the request's batch."""
    match = re.search(r'batch;desc="rows=(\d+)"', response.headers["server-timing"])
    assert match, response.headers["server-timing"]
    return int(match[1])
