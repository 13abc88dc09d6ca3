"""Both sides of the ledger on an empty server, for tests that call them alternately."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self, TypeVar

import fakeredis
import redis
import redis.asyncio

from shared import keys
from shared.keys import ModelKey, model_key
from shared.ledger import (
    AsyncLedger,
    ChunkRecord,
    Claim,
    CommitOutcome,
    FailedRows,
    JobRecord,
    Ledger,
    NewJob,
    new_job_id,
)

T = TypeVar("T")

IRIS = model_key("iris", "1.0.0")
NEVER_S = 3600.0
"""A lease longer than any test; a lease of 0 s expires at once."""


class Clients:
    """A synchronous client, and an asyncio client with its event loop."""

    def __init__(self, threads: redis.Redis, gateway: redis.asyncio.Redis) -> None:
        self.threads = threads
        self.gateway = gateway
        self._runner = asyncio.Runner()
        threads.flushdb()

    @classmethod
    def of_fake(cls) -> Self:
        server = fakeredis.FakeServer()
        return cls(fakeredis.FakeRedis(server=server), fakeredis.FakeAsyncRedis(server=server))

    @classmethod
    def of_url(cls, url: str) -> Self:
        return cls(redis.Redis.from_url(url), redis.asyncio.Redis.from_url(url))

    def run(self, answer: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await answer

        return self._runner.run(awaited())

    def close(self) -> None:
        self.threads.close()
        self.run(self.gateway.aclose())
        self._runner.close()


def beat(client: redis.Redis, worker: str) -> None:
    """Write a heartbeat, so that a worker counts as alive."""
    client.hset(keys.worker(worker), "record", "{}")


class House:
    """A gateway's and a worker's ledger on a server, and their doorbells."""

    def __init__(
        self,
        clients: Clients,
        *,
        lease_s: float = NEVER_S,
        max_attempts: int = 3,
        worker: str = "w:1",
        grace_s: float = NEVER_S,
    ) -> None:
        self.clients = clients
        self.notified: list[tuple[ModelKey, int]] = []
        self.gateway = AsyncLedger(clients.gateway, self._notify, lease_s=lease_s)
        self.worker = Ledger(
            clients.threads,
            self._notify,
            worker=worker,
            lease_s=lease_s,
            max_attempts=max_attempts,
            grace_s=grace_s,
        )

    def _notify(self, key: ModelKey, count: int) -> None:
        self.notified.append((key, count))

    def ask(self, call: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:  # Any: the call's own
        """A call of the gateway's ledger."""
        return self.clients.run(call(*args, **options))

    def open(self, **fields: Any) -> NewJob:  # Any: fields of NewJob
        names = {"id": new_job_id(), "model": "iris", "version": "1.0.0", "digest": "d", "owner": "anonymous"}
        job = NewJob(**(names | fields))
        self.ask(self.gateway.open_job, job)
        return job

    def append(self, job: NewJob, *rows: int) -> int:
        return self.ask(self.gateway.append_chunks, job.id, job.key, rows)

    def upload(self, *rows: int, **fields: Any) -> str:  # Any: fields of NewJob
        """Add a job that is still uploading, with these rows by chunk, and return its id."""
        job = self.open(**fields)
        self.append(job, *rows)
        return job.id

    def submit(self, *rows: int, **fields: Any) -> str:  # Any: fields of NewJob
        """Add a complete job with these rows by chunk, and return its id."""
        job_id = self.upload(*rows, **fields)
        self.ask(self.gateway.seal, job_id)
        return job_id

    def read(self, job_id: str) -> JobRecord:
        return self.ask(self.gateway.read, job_id)

    def chunks(self, job_id: str) -> list[ChunkRecord]:
        return self.ask(self.gateway.chunks, job_id)

    def claim(self, key: ModelKey = IRIS) -> Claim:
        held = self.worker.claim(key)
        assert held is not None
        return held

    def commit(
        self, held: Claim, *, failed: int = 0, first_errors: Sequence[FailedRows | str] = ()
    ) -> CommitOutcome:
        return self.worker.commit(
            IRIS, held, rows_succeeded=held.rows - failed, rows_failed=failed, first_errors=first_errors
        )

    def finish(self) -> None:
        """Claim and commit until no chunk is ready."""
        while held := self.worker.claim(IRIS):
            self.commit(held)
