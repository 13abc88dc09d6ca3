"""Commands for existing jobs: list, show, watch, control, fetch results, delete."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from takt.commands.job_timeline import timeline_lines
from takt.commands.output_files import Output, check_output, fetch, pour, save
from takt.commands.submit import wait_for
from takt.commands.terminal import (
    DEFAULT_URL,
    AsJson,
    JobId,
    Url,
    megabytes,
    print_note,
    reports_errors,
    show_job,
    show_jobs,
    summary_of,
)

if TYPE_CHECKING:
    from takt.client import Takt
    from takt.records import Job, Json

_LIMIT = 20


@reports_errors
def jobs(
    *,
    state: Annotated[str | None, typer.Option(help="Filter: queued, running, succeeded, …")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Filter by model.")] = None,
    reference: Annotated[str | None, typer.Option(help="Filter by reference.")] = None,
    tag: Annotated[str | None, typer.Option(help="Filter by tag.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs.")] = _LIMIT,
    every: Annotated[bool, typer.Option("--all", help="List all jobs.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    from takt.client import Takt

    with Takt(url) as takt:
        found = takt.jobs(state=state, model=model, reference=reference, tag=tag)
        listed = list(islice(found, None if every else limit))
        show_jobs(listed, json=as_json)
        if not every and next(found, None) is not None:
            print_note("more jobs exist: use --limit N or --all")


@reports_errors
def status(
    job_id: JobId,
    *,
    timeline: Annotated[
        bool | None,
        typer.Option(
            "--timeline/--no-timeline",
            help="Also show the events of the job. Default: only in a terminal without --json.",
            show_default=False,
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show a job's progress, why it waits, and its events."""
    from takt.client import Takt

    shown = timeline if timeline is not None else sys.stdout.isatty() and not as_json
    with Takt(url) as takt:
        job = takt.job(job_id)
        events = _timeline(takt, job_id, required=bool(timeline)) if shown else None
    if as_json and events:
        job = replace(job, document=job.document | {"timeline": events["events"]})
    show_job(job, json=as_json)
    if not as_json and events:
        for line in timeline_lines(events):
            typer.echo(f"  {line}")


def _timeline(takt: Takt, job_id: str, *, required: bool) -> Json | None:
    """None: an earlier version of the service, which has no timeline, and it is not required."""
    from takt.errors import NotFound

    try:
        return takt.timeline(job_id)
    except NotFound:
        if required:
            raise
        return None


@reports_errors
def watch(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Follow a job until it ends. Exits with the codes of `submit --wait`."""
    from takt.client import Takt
    from takt.commands.progress_bar import Bars

    with Takt(url) as takt, Bars() as bars:
        job = wait_for(takt, job_id, bars)
    print_note(summary_of(job))
    show_job(job, json=as_json)


@reports_errors
def cancel(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Cancel a job. Finished results stay readable with `results --partial`."""
    _act(job_id, "cancel", url, json=as_json)


@reports_errors
def pause(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Start no more rows of a job until it is resumed."""
    _act(job_id, "pause", url, json=as_json)


@reports_errors
def resume(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Resume a paused job."""
    _act(job_id, "resume", url, json=as_json)


def _act(job_id: str, action: str, url: str, *, json: bool) -> None:
    from takt.client import Takt

    with Takt(url) as takt:
        acts = {"cancel": takt.cancel, "pause": takt.pause, "resume": takt.resume}
        job: Job = acts[action](job_id)
        show_job(job, json=json)


@reports_errors
def results(
    job_id: JobId,
    output: Output = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Fetch the results so far of a job that has not succeeded.")
    ] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Print a job's results as JSON lines in row order, or write them to a file."""
    from takt.client import Takt

    check_output(output)
    with Takt(url) as takt:
        size_bytes = fetch(takt, job_id, output or "-", partial=partial)
    if output not in (None, "-"):
        print_note(f"→ {output} ({megabytes(size_bytes)})")


@reports_errors
def errors(job_id: JobId, output: Output = None, url: Url = DEFAULT_URL) -> None:
    """Print a job's failed rows with their errors as JSON lines, or write a .csv, .ndjson or .json file."""
    from takt.client import Takt
    from takt.formats import Format, file_format

    check_output(output)
    with Takt(url) as takt:
        if output is None or output == "-":
            pour(takt.stream(job_id, Format.NDJSON, only_errors=True))
        else:
            save(takt.stream(job_id, file_format(output, None), only_errors=True), Path(output))


@reports_errors
def delete(job_id: JobId, url: Url = DEFAULT_URL) -> None:
    """Delete a job that has ended, and its data."""
    from takt.client import Takt

    with Takt(url) as takt:
        takt.delete(job_id)
