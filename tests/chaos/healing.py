"""Detection of recovery: every gateway answers, jobs progress, and the fault's leases have been replaced.

Checks use the public interfaces if possible; the leased chunks are read from the ledger.
"""

from __future__ import annotations

import time
from typing import cast

import httpx
import redis
from redis.exceptions import RedisError

from shared import keys
from takt.errors import NotFound, TryLater
from tests.chaos.account import Account
from tests.chaos.gateways import Gateways
from tests.chaos.terrain import INPUTS, Pool

LOOK_EVERY_S = 0.05
_UPLOAD = "upload"


class Healing:
    """Recovery from a fault. Each condition counts after its first observation."""

    def __init__(
        self, client: redis.Redis, gateways: Gateways, http: httpx.Client, account: Account, pool: Pool
    ) -> None:
        self._client = client
        self._gateways = gateways
        self._http = http
        self._account = account
        self._question = dict(zip(INPUTS, pool.places[0].tolist(), strict=True))
        self._height = float(pool.heights[0])
        self._silent = list(gateways.urls)
        self._held: set[str] | None = None
        self._counts: dict[str, int] = {}
        self._moved = False

    def wait(self, limit_s: float) -> bool:
        """Returns whether Takt recovered in time."""
        end_s = time.monotonic() + limit_s
        while not self._look():
            if time.monotonic() > end_s:
                return False
            time.sleep(LOOK_EVERY_S)
        return True

    def what_is_missing(self) -> str:
        """Description of the missing conditions."""
        missing = [
            f"no answer from {', '.join(self._silent)}" if self._silent else "",
            f"still held: {', '.join(sorted(self._held))}" if self._held else "",
            "" if self._moved else "no job moved",
        ]
        return "; ".join(filter(None, missing))

    def _look(self) -> bool:
        # the leases first, in the state at the time of the fault
        released = self._leases_released()
        self._silent = [url for url in self._silent if not self._answers(url)]
        self._moved = self._moved or self._a_job_moved()
        return released and not self._silent and self._moved

    def _answers(self, url: str) -> bool:
        try:
            answer = self._http.post(f"{url}/predict", json=self._question, headers={"Prefer": "wait=2"})
        except httpx.HTTPError:
            return False
        return answer.is_success and answer.json()["height"] == self._height

    def _leases_released(self) -> bool:
        """Whether every chunk that was leased at first has been finished or claimed again."""
        try:
            leases = chunk_leases(self._client)
        except RedisError:
            return False
        self._held = leases if self._held is None else self._held & leases
        return not self._held

    def _a_job_moved(self) -> bool:
        try:
            return any(map(self._moved_on, self._account.in_flight()))
        except TryLater:
            return False

    def _moved_on(self, job_id: str) -> bool:
        """Whether the job has more rows than at first, or has ended."""
        try:
            job = self._gateways.ask(lambda takt: takt.job(job_id), patience_s=0)
        except NotFound:
            return True  # it has ended, was read and deleted
        return job.ended or job.rows_done > self._counts.setdefault(job_id, job.rows_done)


def chunk_leases(client: redis.Redis) -> set[str]:
    """`{job}:{chunk}:{token}` of every leased chunk. Raises RedisError."""
    leases = cast(list[bytes], client.zrange(keys.leases(), 0, -1))
    return {name for name in map(bytes.decode, leases) if name.split(":")[1] != _UPLOAD}
