"""Clients that call several gateways continuously while gateways and workers are replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

from tests.support.polling import eventually
from tests.support.stack import Part


@dataclass
class Traffic:
    """The clients' observations."""

    predictions: list[tuple[int, str]] = field(default_factory=list)  # status and answering version
    jobs: list[str] = field(default_factory=list)  # accepted
    wrong: list[str] = field(default_factory=list)  # unexpected answers and errors

    def versions(self) -> set[str]:
        return {version for _, version in self.predictions}

    async def goes_on(self, *, limit_s: float = 60.0) -> None:
        """Wait for further answers of both loads."""
        predictions, jobs = len(self.predictions) + 30, len(self.jobs) + 2

        def gone_on() -> bool:
            return len(self.predictions) >= predictions and len(self.jobs) >= jobs

        await asyncio.to_thread(eventually, gone_on, limit_s=limit_s)


@dataclass(frozen=True)
class Balancer:
    """A load balancer in front of gateways, which checks readiness and skips gateways that are not ready."""

    gateways: Sequence[Part]
    http: httpx.AsyncClient
    ready: list[str]

    async def watch(self) -> None:
        while True:
            for gateway in self.gateways:
                await self._look(gateway.url)
            await asyncio.sleep(0.1)

    async def _look(self, url: str) -> None:
        try:
            is_ready = (await self.http.get(f"{url}/health/ready")).status_code == 200
        except httpx.HTTPError:
            is_ready = False
        if is_ready and url not in self.ready:
            self.ready.append(url)
        elif not is_ready and url in self.ready:
            self.ready.remove(url)


@asynccontextmanager
async def traffic(*gateways: Part, clients: int = 8, job_rows: int = 40) -> AsyncIterator[Traffic]:
    """Run clients that predict, and a client that submits jobs, until the block ends. Each call goes to a
    ready gateway, and to another gateway if the connection is refused."""
    seen = Traffic()
    async with httpx.AsyncClient(timeout=60) as http:
        balancer = Balancer(gateways, http, [gateway.url for gateway in gateways if gateway.running])
        stopping = asyncio.Event()
        watching = asyncio.create_task(balancer.watch())
        callers = [asyncio.create_task(_predict(balancer, seen, stopping)) for _ in range(clients)]
        callers.append(asyncio.create_task(_submit(balancer, seen, stopping, job_rows)))
        try:
            yield seen
        finally:
            stopping.set()
            await asyncio.wait_for(asyncio.gather(*callers), 90)
            watching.cancel()


async def _predict(balancer: Balancer, seen: Traffic, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        answer = await _call(balancer, seen, "/predict", {"x": 3.0}, {})
        if answer is None:
            continue
        version = answer.headers.get("x-model-version", "")
        if answer.status_code != 200 or answer.json()["y"] != 3.0 * (1 + int(version.split(".")[1])):
            seen.wrong.append(f"{answer.status_code} {answer.text[:200]}")
        seen.predictions.append((answer.status_code, version))


async def _submit(balancer: Balancer, seen: Traffic, stopping: asyncio.Event, rows: int) -> None:
    while not stopping.is_set():
        key = {"Idempotency-Key": uuid4().hex}
        body = {"model": "paced", "inputs": [[float(n)] for n in range(rows)]}
        answer = await _call(balancer, seen, "/jobs", body, key)
        if answer is not None and answer.status_code == 202:
            seen.jobs.append(answer.headers["location"])
        elif answer is not None:
            seen.wrong.append(f"job: {answer.status_code} {answer.text[:200]}")
        await asyncio.sleep(0.1)


async def _call(
    balancer: Balancer, seen: Traffic, path: str, body: object, headers: dict[str, str]
) -> httpx.Response | None:
    for url in [*balancer.ready, *(gateway.url for gateway in balancer.gateways)]:
        try:
            return await balancer.http.post(f"{url}{path}", json=body, headers=headers)
        except httpx.ConnectError:
            continue  # refused: nothing was sent
        except httpx.HTTPError as error:
            seen.wrong.append(f"{path}: {error!r}")
            return None
    seen.wrong.append("no gateway takes connections")
    return None
