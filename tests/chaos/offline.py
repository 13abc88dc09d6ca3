"""The load of jobs: closed loops that submit, wait, fetch, verify and delete throughout all faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from takt import Takt
from takt.bodies import Rows
from takt.decoding import table_of
from takt.errors import JobFailed, NotFound, TaktError, ended_well
from takt.formats import Format
from takt.records import Job
from tests.chaos.account import Account
from tests.chaos.gateways import Gateways
from tests.chaos.orders import ID, Order, body
from tests.chaos.terrain import MODEL, Floats, Numbers, Pool
from tests.chaos.verdicts import Verdict, judge

POLL_S = 0.2
_NEVER_WHOLE = ("failed", "uploading")
"""Outcomes of a submission that was interrupted and sent again."""


class JobLoop(threading.Thread):
    """A client with a job at a time. It records its findings in the account."""

    def __init__(
        self, gateways: Gateways, account: Account, pool: Pool, orders: Iterator[Order], folder: Path
    ) -> None:
        super().__init__(name="jobs", daemon=True)
        self._gateways = gateways
        self._account = account
        self._pool = pool
        self._orders = orders
        self._folder = folder
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Start no further job; the current job is completed."""
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            order = next(self._orders)
            try:
                self._see_through(order)
            except TaktError as error:
                self._account.note(f"{order}: {type(error).__name__}: {error}")

    def _see_through(self, order: Order) -> None:
        rows = body(order, self._pool)
        job = self._gateways.ask(lambda takt: submitted(takt, order, rows))
        self._account.accept(job.id, order)
        try:
            ended_well(self._ended(job))
        except JobFailed as error:
            self._account.settle(job.id, Verdict(lost=order.rows), str(error))
            return
        verdict = judge(self._expected(order), *self._came_back(job, order))
        self._account.settle(job.id, verdict, "" if verdict.right else f"{verdict}")
        self._forget(job)

    def _ended(self, job: Job) -> Job:
        job_id = job.id
        while not job.ended:
            time.sleep(POLL_S)
            job = self._gateways.ask(lambda takt: takt.job(job_id))
        return job

    def _expected(self, order: Order) -> Floats:
        return self._pool.heights[self._pool.span(order.first, order.rows)]

    def _came_back(self, job: Job, order: Order) -> tuple[Numbers, Floats]:
        """The names of the rows in received order, and their heights."""
        path = self._folder / f"{order.key}.arrow"
        self._gateways.ask(lambda takt: takt.download(job.id, path, format=Format.ARROW))
        table = table_of(path).select([ID if order.has_ids else "row", "height"])
        path.unlink()
        names, heights = (column.to_numpy() for column in table.columns)
        return names.astype(np.int64), heights.astype(np.float64)

    def _forget(self, job: Job) -> None:
        with suppress(NotFound):  # an earlier try succeeded, and its answer was lost
            self._gateways.ask(lambda takt: takt.delete(job.id))


def audit(gateways: Gateways, account: Account) -> None:
    """After all loops have ended: a remaining job that did not fail was never reported to a client."""
    known = set(account.in_flight())
    for job in gateways.ask(lambda takt: list(takt.jobs())):
        if job.id not in known and job.state not in _NEVER_WHOLE:
            account.doubled(job.id, job.reference, job.rows_total or job.rows_done)


def submitted(takt: Takt, order: Order, rows: Rows) -> Job:
    """A try of a submission; all tries have the same Idempotency-Key."""
    return takt.submit(
        rows,
        model=MODEL,
        format=order.format if order.has_ids else None,
        idempotency_key=order.key,
        reference=order.key,
        id_column=ID if order.has_ids else None,
    )
