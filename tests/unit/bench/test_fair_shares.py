"""Fifty owners on a queue, in virtual time: the ledger on a server, and the model of it in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count

import pytest

from bench.fair_shares import LedgerQueue, Queue, arrivals, simulated, table
from shared.api_keys import Share
from shared.ledger import Claim, NewJob
from tests.support.ledger_model import LedgerModel
from tests.support.servers import Server

OWNERS = 50
Make = Callable[[Mapping[str, float]], Queue]


class ModelQueue:
    """The ledger in plain Python."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._model = LedgerModel(max_attempts=3)
        self._model.shares = {owner: Share(weight=weight) for owner, weight in weights.items()}
        self._ids = count()

    def submit(self, owner: str, chunks: Sequence[int]) -> str:
        job_id = f"{next(self._ids):032x}"
        new = NewJob(id=job_id, model="simulated", version="1.0.0", digest="", owner=owner)
        self._model.open(new, brief=False)
        self._model.append(job_id, chunks, brief=False)
        self._model.seal(job_id)
        return job_id

    def claim(self) -> Claim | None:
        return self._model.claim(f"{next(self._ids):x}", worker="w", brief=False)

    def commit(self, held: Claim) -> None:
        self._model.commit(held, failed=0)


@pytest.fixture(params=["model", pytest.param("ledger", marks=pytest.mark.integration)])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """An empty queue of this kind."""
    if request.param == "model":
        yield ModelQueue
        return
    server: Server = request.getfixturevalue("valkey")
    with server.client() as client:
        client.flushdb()
        yield lambda weights: LedgerQueue(client, weights)
        client.flushdb()


@pytest.mark.parametrize("weighted", [False, True])
def test_fifty_owners_get_their_shares_and_none_waits_for_more_than_they_allow(
    make: Make, *, weighted: bool
) -> None:
    figures = simulated(make, OWNERS, weighted=weighted)
    assert figures.jain > 0.99
    assert figures.most_unfairness < 1.3


def test_without_owners_a_light_job_waits_for_all_jobs_before_it(make: Make) -> None:
    """The purpose of the two levels."""
    by_job, by_owner = (simulated(make, OWNERS, by_job=alone) for alone in (True, False))
    assert by_job.jain < 0.8
    assert by_job.most_waits > 10 * by_owner.most_waits
    assert by_job.took_s == pytest.approx(by_owner.took_s, rel=0.02), "no slot idles for fairness"


def test_the_table_has_a_row_for_each_order() -> None:
    assert sum(arrival.jobs == 1 for arrival in arrivals(OWNERS)) == 30
    rows = list(table({"by owner": simulated(ModelQueue, 10)}))
    assert len(rows) == 3
