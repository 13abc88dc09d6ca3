"""Record of a run: accepted jobs and their results. Several threads write to it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from tests.chaos.orders import Order
from tests.chaos.verdicts import Verdict


@dataclass(frozen=True)
class Totals:
    """Totals of a run's jobs."""

    jobs: int = 0
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0


class Account:
    """A job is recorded at its 202; until it is settled, its rows count as lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Order] = {}
        self._settled: list[tuple[Order, Verdict]] = []
        self._notes: list[str] = []
        self._twin_rows = 0

    def accept(self, job_id: str, order: Order) -> None:
        with self._lock:
            self._open[job_id] = order

    def settle(self, job_id: str, verdict: Verdict, note: str = "") -> None:
        """Record the verdict on a job's rows. `note` describes it."""
        with self._lock:
            order = self._open.pop(job_id)
            self._settled.append((order, verdict))
            if note:
                self._notes.append(f"job {job_id} ({order.rows} rows as {order.format}): {note}")

    def doubled(self, job_id: str, key: str, rows: int) -> None:
        """Record that a submission created a second job."""
        with self._lock:
            self._twin_rows += rows
            self._notes.append(f"job {job_id} ({rows} rows) is a second one of {key}")

    def note(self, text: str) -> None:
        """Record an error that concerns no rows."""
        with self._lock:
            self._notes.append(text)

    def in_flight(self) -> list[str]:
        with self._lock:
            return list(self._open)

    def rows_settled(self) -> int:
        with self._lock:
            return sum(order.rows for order, _ in self._settled)

    def notes(self) -> list[str]:
        """Notes, including jobs without a result."""
        with self._lock:
            open_jobs = [
                f"job {job_id} ({order.rows} rows) never ended" for job_id, order in self._open.items()
            ]
            return [*self._notes, *open_jobs]

    def totals(self) -> Totals:
        with self._lock:
            verdicts = [verdict for _, verdict in self._settled]
            pending = list(self._open.values())
            return Totals(
                jobs=len(verdicts) + len(pending),
                rows=sum(order.rows for order, _ in self._settled) + sum(order.rows for order in pending),
                lost=sum(verdict.lost for verdict in verdicts) + sum(order.rows for order in pending),
                doubled=sum(verdict.doubled for verdict in verdicts) + self._twin_rows,
                wrong=sum(verdict.wrong for verdict in verdicts),
            )
