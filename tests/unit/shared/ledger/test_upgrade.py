"""Programs of the previous version use the same ledger during an upgrade."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shared import keys
from shared.dead_letters import LUA
from shared.ledger import Claim, CommitOutcome, JobState, chunk_transitions, new_job_id
from shared.ledger.records import new_token
from tests.support import earlier_ledger
from tests.support.ledgers import IRIS, NEVER_S, Clients, House

SCRIPTS = Path(earlier_ledger.__file__).parent
SHARED = ("keys", "order", "turns", "uploads", "unreadable")
NAMES = chunk_transitions.ready(most=1).arguments[0]
OWNERS = ["a", "b", "c"]


class Earlier:
    """A worker and a gateway of the previous version."""

    def __init__(self, clients: Clients) -> None:
        self._client: Any = clients.threads  # Any: redis-py's union of answers
        self._scripts: dict[str, Any] = {}
        self.held: list[tuple[bytes, int, int, bytes]] = []

    def _run(self, name: str, *args: str | int | bytes) -> Any:
        if name not in self._scripts:
            texts = [(SCRIPTS / f"{one}.lua").read_text(encoding="utf-8") for one in (*SHARED, name)]
            self._scripts[name] = self._client.register_script("\n".join((LUA, *texts)))
        return self._scripts[name](args=[NAMES, *args])

    def submit(self, owner: str) -> str:
        job_id, record = new_job_id(), {"key": str(IRIS), "owner": owner, "priority": "5", "schema": "2"}
        record |= {
            "model": "iris",
            "version": "1.0.0",
            "digest": "d",
            "id": job_id,
            "retention_ms": "1000000",
        }
        record |= {"max_errors": "", "max_error_share": "", "reference": "", "tags": "[]"}
        fields = [part for item in record.items() for part in item]
        self._run("submit", job_id, owner, IRIS, 5, b"rows", 0, "", "", 0, *fields)
        return job_id

    def claim(self) -> bool:
        claims = self._run("claim", IRIS, "w:old", new_token(), round(NEVER_S * 1000), 3, "", 1, 0)
        self.held += [(job_id, index, rows, token) for job_id, index, rows, _, token, *_ in claims]
        return bool(claims)

    def commit(self) -> bytes:
        job_id, index, rows, token = self.held.pop()
        (outcome,), _ = self._run("commit", IRIS, job_id, index, token, rows, 0, "[]", b"")
        return bytes(outcome)

    def hand_back(self) -> None:
        job_id, index, _, token = self.held.pop()
        self._run("hand_back", job_id, index, token, 0, IRIS)

    def ready(self) -> dict[bytes, int]:
        found = self._run("ready", 1000)
        return dict(zip(found[::2], found[1::2], strict=True))


@pytest.fixture
def earlier(clients: Clients) -> Earlier:
    return Earlier(clients)


def drained(house: House, earlier: Earlier, *, with_earlier: bool) -> None:
    while house.worker.ready():
        if held := house.worker.claim(IRIS):
            house.commit(held)
        if with_earlier and earlier.claim():
            assert earlier.commit() == b"committed"


class Mixture:
    """Both versions in an order decided by a seed."""

    def __init__(self, house: House, earlier: Earlier, seed: int) -> None:
        self._house, self._earlier, self._chance = house, earlier, random.Random(seed)
        self._held: list[Claim] = []
        self.jobs: list[str] = []

    def run(self, steps: int) -> None:
        ways = (self._submit, self._submit_earlier, self._claim, self._claim, self._commit)
        ways_earlier = (self._earlier.claim, self._commit_earlier, self._hand_back_earlier)
        for _ in range(steps):
            self._chance.choice((*ways, *ways_earlier))()
        while self._held:
            self._commit()
        while self._earlier.held:
            self._commit_earlier()

    def _submit(self) -> None:
        rows = [10] * self._chance.randint(1, 5)
        self.jobs.append(self._house.submit(*rows, owner=self._chance.choice(OWNERS)))

    def _submit_earlier(self) -> None:
        self.jobs.append(self._earlier.submit(self._chance.choice(OWNERS)))

    def _claim(self) -> None:
        held = self._house.worker.claim(IRIS)
        self._held += [held] if held else []

    def _commit(self) -> None:
        if self._held:
            assert self._house.commit(self._held.pop()) is CommitOutcome.COMMITTED

    def _commit_earlier(self) -> None:
        if self._earlier.held:
            assert self._earlier.commit() == b"committed"

    def _hand_back_earlier(self) -> None:
        if self._earlier.held:
            self._earlier.hand_back()


@pytest.mark.parametrize("seed", range(6))
def test_workers_of_both_versions_run_every_chunk_once(house: House, earlier: Earlier, seed: int) -> None:
    mixture = Mixture(house, earlier, seed)
    mixture.run(120)
    drained(house, earlier, with_earlier=seed % 2 == 0)
    for job_id in mixture.jobs:
        record = house.read(job_id)
        assert (record.state, record.rows_succeeded) == (JobState.SUCCEEDED, record.rows_total)
    house.worker.claim(IRIS)  # drops what the other version has finished
    assert not house.clients.threads.exists(keys.active(IRIS), keys.owners(IRIS), keys.placed(IRIS))


def test_a_worker_of_the_version_before_sees_and_runs_what_is_submitted_now(
    house: House, earlier: Earlier
) -> None:
    job_ids = [house.submit(10, 10, owner=owner) for owner in OWNERS]
    assert earlier.ready() == {IRIS.encode(): 6}
    while earlier.claim():
        earlier.commit()
    assert all(house.read(job_id).state is JobState.SUCCEEDED for job_id in job_ids)
    assert house.worker.claim(IRIS) is None
    assert house.worker.ready() == {}


def test_jobs_of_a_gateway_of_the_version_before_are_shared_between_owners(
    house: House, earlier: Earlier
) -> None:
    for _ in range(150):
        earlier.submit("a")
    for _ in range(10):
        earlier.submit("b")
    owners = Counter(house.read(house.claim().job_id).owner for _ in range(22))
    assert owners["b"] >= 9
    rest = list(iter(lambda: house.worker.claim(IRIS), None))
    assert len(rest) == 160 - 22


def test_what_the_version_before_took_is_not_claimed_again(house: House, earlier: Earlier) -> None:
    house.submit(10, owner="a")
    assert earlier.claim()
    assert house.worker.claim(IRIS) is None
    earlier.hand_back()
    assert house.worker.ready() == {IRIS: 1}
    assert house.claim().rows == 10
