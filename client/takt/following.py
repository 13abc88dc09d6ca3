"""Decisions about watched jobs and output formats, shared by both clients. No I/O."""

from __future__ import annotations

from pathlib import Path

from takt.errors import JobCanceled, JobFailed, NotTakt, Refused
from takt.formats import ENDINGS, Format, format_of, packing_of
from takt.records import Job

_NO_JOB = ("job_not_found", "job_expired")


def ended_well(job: Job) -> Job:
    """Returns a job that succeeded. Raises JobCanceled or JobFailed otherwise."""
    if job.state == "canceled":
        raise JobCanceled(job)
    if job.state != "succeeded":
        raise JobFailed(job)
    return job


def is_about_events(error: Refused | NotTakt) -> bool:
    """Returns True if only the event stream is unavailable, as behind some proxies; else raises the error."""
    if isinstance(error, NotTakt) or (error.status in (404, 405, 406) and error.code not in _NO_JOB):
        return True
    raise error


def file_format(path: str | Path, named: Format | None) -> Format:
    """Returns the format of an output file.

    Raises ValueError if it is unknown; results are not compressed.
    """
    name = Path(path).name
    found = named or (None if packing_of(name) else format_of(name))
    if found is None:
        raise ValueError(f"{name}: unknown output format: use an extension of {ENDINGS}")
    return found
