"""The record that a supervisor passes to a worker, for tests without a supervisor."""

from __future__ import annotations

from shared.worker_records import SupervisorFacts
from worker.control.control_messages import WorkerStart


def supervisor_facts(name: str = "w", workers: int = 1) -> SupervisorFacts:
    return SupervisorFacts(name=name, pid=1, workers=workers)


def worker_start(worker_id: str = "w/0:1") -> WorkerStart:
    """A worker that loads its models for itself."""
    return WorkerStart(id=worker_id, number=0, supervisor=supervisor_facts(), own_load="a test")
