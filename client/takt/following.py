"""What both clients decide of a job that they follow. Pure."""

from __future__ import annotations

from pathlib import Path

from takt.errors import JobCanceled, JobFailed, NotTakt, Refused
from takt.formats import ENDINGS, Format, format_of, packing_of
from takt.records import Job

_NO_JOB = ("job_not_found", "job_expired")


def ended_well(job: Job) -> Job:
    """Raises JobCanceled or JobFailed if it did not."""
    if job.state == "canceled":
        raise JobCanceled(job)
    if job.state != "succeeded":
        raise JobFailed(job)
    return job


def is_about_events(error: Refused | NotTakt) -> bool:
    """Whether only the stream of events is refused, as by a proxy that does not pass it on; else raises."""
    if isinstance(error, NotTakt) or (error.status in (404, 405, 406) and error.code not in _NO_JOB):
        return True
    raise error


def file_format(path: str | Path, named: Format | None) -> Format:
    """Of a file to write. Raises ValueError if neither is told; results come unpacked."""
    name = Path(path).name
    found = named or (None if packing_of(name) else format_of(name))
    if found is None:
        raise ValueError(f"{name} does not say a format to write: use one of {ENDINGS}")
    return found
