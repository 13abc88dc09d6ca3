"""A chunk with a slow payload keeps its lease, although its thread is blocked."""

from __future__ import annotations

import threading

from shared import keys
from shared.ledger import Claim, JobState
from tests.support.ledgers import Clients, House
from tests.support.polling import eventually
from worker.chunks.lease_keeper import LeaseKeeper

EVERY_S, MOST_S = 1.0, 300.0
HELD = Claim(job_id="j", index=0, rows=1, attempt=1, token="t")


class Renewals:
    """The renewals of a keeper, with a clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.renewed: list[Claim] = []
        self.keeper = LeaseKeeper(
            self.renewed.append, every_s=EVERY_S, most_s=MOST_S, clock=lambda: self.now_s
        )

    def after(self, seconds: float) -> int:
        """The total number of renewals after that time."""
        self.now_s += seconds
        self.keeper.renew_due()
        return len(self.renewed)


def test_what_moves_quickly_costs_no_renewal() -> None:
    renewals = Renewals()
    with renewals.keeper.keeping(HELD):
        assert renewals.after(EVERY_S / 2) == 0
    assert renewals.after(EVERY_S) == 0


def test_what_hangs_is_renewed_for_a_while_and_no_longer() -> None:
    renewals = Renewals()
    with renewals.keeper.keeping(HELD):
        assert renewals.after(EVERY_S) == 1
        assert renewals.after(EVERY_S) == 2
        assert renewals.after(MOST_S) == 2


def test_a_chunk_whose_store_hangs_goes_to_no_other_worker(house: House, clients: Clients) -> None:
    job_id = house.submit(10)
    held = house.claim()
    keeper = LeaseKeeper(house.worker.renew, every_s=0.01, most_s=MOST_S)
    keeper.start()
    try:
        with keeper.keeping(held):
            [(lease, _)] = clients.threads.zscan_iter(keys.leases())
            seconds, _ = clients.threads.time()
            clients.threads.zadd(
                keys.leases(), {lease: seconds * 1000 + 60_000}
            )  # it would expire in a minute
            eventually(lambda: (clients.threads.zscore(keys.leases(), lease) or 0) > seconds * 1000 + 600_000)
    finally:
        keeper.stop()
    eventually(lambda: "leases" not in [thread.name for thread in threading.enumerate()])
    house.commit(held)
    assert house.read(job_id).state is JobState.SUCCEEDED
