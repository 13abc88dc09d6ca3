"""Clients of a running Takt: one job seen through, many connections at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import httpx

from tests.support.polling import eventually

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
"""The guide's first flower: a setosa."""


def finished(http: httpx.Client, location: str, *, limit_s: float = 30.0) -> dict[str, Any]:
    """A job once it has ended."""

    def ended() -> dict[str, Any] | None:
        job: dict[str, Any] = http.get(location).raise_for_status().json()
        return job if job["state"] in ("succeeded", "failed", "canceled") else None

    job = eventually(ended, limit_s=limit_s)
    assert job is not None
    return job


def job_results(http: httpx.Client, model: str, inputs: Sequence[object]) -> list[dict[str, Any]]:
    """Submit rows as a job, wait for it, and read every result."""
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


async def predict_all(
    url: str,
    bodies: Sequence[dict[str, object]],
    *,
    connections: int,
    path: str = "/predict",
    timeout_s: float = 60.0,
) -> list[httpx.Response]:
    """Every body once, over so many connections at a time; in the order of the bodies."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    turns = asyncio.Semaphore(connections)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=timeout_s) as client:

        async def one(body: dict[str, object]) -> httpx.Response:
            async with turns:
                return await client.post(path, json=body)

        return await asyncio.gather(*map(one, bodies))


def stages(response: httpx.Response) -> dict[str, float]:
    """Milliseconds by stage, from Server-Timing."""
    found = re.findall(r"(\w+)(?:;desc=\"[^\"]*\")?;dur=([\d.]+)", response.headers["Server-Timing"])
    return {name: float(duration) for name, duration in found}


def batch_rows(response: httpx.Response) -> int:
    """Rows of the batch that a request ran in."""
    match = re.search(r'batch;desc="rows=(\d+)"', response.headers["Server-Timing"])
    assert match, response.headers["Server-Timing"]
    return int(match[1])
