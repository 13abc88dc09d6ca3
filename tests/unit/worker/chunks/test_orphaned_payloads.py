"""Folders of jobs that the ledger does not know are removed, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared import keys
from shared.ledger import new_job_id
from shared.payloads import PayloadStore, StoredJob, rows_path
from tests.support.ledgers import Clients, House
from worker.chunks.orphaned_payloads import LEAST_AGE_S, SWEEP_EVERY_S, Orphans, removable

DAY_S = 86_400.0
RETENTION_S = 7 * DAY_S


class Attic:
    """A store with folders of any age, and a ledger of any age."""

    def __init__(self, clients: Clients, folder: Path) -> None:
        self.clients = clients
        self.house = House(clients)
        self.folder = folder
        self.store = PayloadStore(folder.as_uri())
        self.now_s = 1_800_000_000.0
        self.orphans = Orphans(
            self.house.worker, self.store, retention_s=RETENTION_S, clock=lambda: self.now_s
        )

    def stored(self, job_id: str, age_s: float) -> str:
        self.store.put(rows_path(job_id, 0), b"rows")
        at_s = self.now_s - age_s
        for place in (self.folder / job_id / "in", self.folder / job_id):
            os.utime(place, (at_s, at_s))
        return job_id

    def ledger_is(self, age_s: float) -> None:
        seconds, _ = self.clients.threads.time()
        self.clients.threads.set(keys.born(), round((seconds - age_s) * 1000))

    def there(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def attic(clients: Clients, tmp_path: Path) -> Attic:
    attic = Attic(clients, tmp_path / "payloads")
    attic.ledger_is(30 * DAY_S)
    return attic


def test_an_old_folder_of_a_job_that_the_ledger_lost_is_removed(attic: Attic) -> None:
    lost = attic.stored(new_job_id(), 8 * DAY_S)
    kept = attic.stored(attic.house.submit(3), 8 * DAY_S)
    assert attic.orphans.step() == [lost]
    assert attic.there() == {kept}


def test_a_folder_that_is_younger_than_the_retention_stays(attic: Attic) -> None:
    attic.stored(new_job_id(), 6 * DAY_S)
    attic.stored(new_job_id(), 0.0)  # of a job that is being submitted
    assert attic.orphans.step() == []


def test_a_server_that_was_emptied_or_replaced_has_nothing_removed(attic: Attic) -> None:
    attic.stored(new_job_id(), 30 * DAY_S)
    attic.clients.threads.flushdb()
    assert attic.orphans.step() == []
    attic.ledger_is(6 * DAY_S)
    assert attic.orphans.step() == []
    attic.ledger_is(8 * DAY_S)
    assert len(attic.orphans.step()) == 1


def test_what_is_no_folder_of_a_job_stays(attic: Attic) -> None:
    attic.stored("lost+found", 30 * DAY_S)
    attic.stored("backup-of-june", 30 * DAY_S)
    assert attic.orphans.step() == []
    assert attic.there() == {"lost+found", "backup-of-june"}


def test_an_expired_jobs_data_is_left_to_the_end_of_its_retention(attic: Attic) -> None:
    job_id = attic.stored(new_job_id(), 30 * DAY_S)
    attic.clients.threads.zadd(keys.expiring(), {job_id: 1})
    assert attic.orphans.step() == []


def test_an_hour_passes_between_two_sweeps(attic: Attic) -> None:
    assert attic.orphans.step() == []
    attic.stored(new_job_id(), 30 * DAY_S)
    assert attic.orphans.step() == []
    attic.now_s += SWEEP_EVERY_S
    assert len(attic.orphans.step()) == 1


def test_a_short_retention_leaves_a_day() -> None:
    found = [StoredJob(new_job_id(), 100.0), StoredJob(new_job_id(), 200.0)]
    assert removable(found, now_s=150.0 + LEAST_AGE_S, age_s=LEAST_AGE_S) == [found[0].id]
