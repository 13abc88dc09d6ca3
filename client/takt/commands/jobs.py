"""The commands for jobs that are there: list, look, follow, steer, fetch, remove."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from takt.commands.outputs import Output, check_output, fetch, pour, save
from takt.commands.submission import wait_for
from takt.commands.voice import (
    DEFAULT_URL,
    AsJson,
    JobId,
    Url,
    in_words,
    megabytes,
    remark,
    show_job,
    show_jobs,
    summary_of,
)

if TYPE_CHECKING:
    from takt.records import Job

_LIMIT = 20


@in_words
def jobs(
    *,
    state: Annotated[str | None, typer.Option(help="queued, running, succeeded, …")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Of this model.")] = None,
    reference: Annotated[str | None, typer.Option(help="With this reference.")] = None,
    tag: Annotated[str | None, typer.Option(help="With this tag.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = _LIMIT,
    every: Annotated[bool, typer.Option("--all", help="All of them, page by page.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """The jobs, newest first."""
    from takt.client import Takt

    with Takt(url) as takt:
        found = takt.jobs(state=state, model=model, reference=reference, tag=tag)
        listed = list(islice(found, None if every else limit))
        show_jobs(listed, json=as_json)
        if not every and next(found, None) is not None:
            remark("there are more: --limit N, or --all")


@in_words
def status(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """How far a job is, and why it waits."""
    from takt.client import Takt

    with Takt(url) as takt:
        show_job(takt.job(job_id), json=as_json)


@in_words
def watch(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Follow a job until its end; exits as `submit --wait` does."""
    from takt.client import Takt
    from takt.commands.bars import Bars

    with Takt(url) as takt, Bars() as bars:
        job = wait_for(takt, job_id, bars)
    remark(summary_of(job))
    show_job(job, json=as_json)


@in_words
def cancel(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """End a job; what is done stays readable with `results --partial`."""
    _act(job_id, "cancel", url, json=as_json)


@in_words
def pause(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Start no more of a job until it is resumed."""
    _act(job_id, "pause", url, json=as_json)


@in_words
def resume(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Let a paused job go on."""
    _act(job_id, "resume", url, json=as_json)


def _act(job_id: str, action: str, url: str, *, json: bool) -> None:
    from takt.client import Takt

    with Takt(url) as takt:
        acts = {"cancel": takt.cancel, "pause": takt.pause, "resume": takt.resume}
        job: Job = acts[action](job_id)
        show_job(job, json=json)


@in_words
def results(
    job_id: JobId,
    output: Output = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="What is there, of a job that has not succeeded.")
    ] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """A job's results, in the order of its rows: a JSON document a line, or a file by its ending."""
    from takt.client import Takt

    check_output(output)
    with Takt(url) as takt:
        size_bytes = fetch(takt, job_id, output or "-", partial=partial)
    if output not in (None, "-"):
        remark(f"→ {output} ({megabytes(size_bytes)})")


@in_words
def errors(job_id: JobId, output: Output = None, url: Url = DEFAULT_URL) -> None:
    """A job's failed rows, and why: a JSON document a line, or a .csv, .ndjson or .json file."""
    from takt.client import Takt
    from takt.following import file_format
    from takt.formats import Format

    check_output(output)
    with Takt(url) as takt:
        if output is None or output == "-":
            pour(takt.stream(job_id, Format.NDJSON, only_errors=True))
        else:
            save(takt.stream(job_id, file_format(output, None), only_errors=True), Path(output))


@in_words
def delete(job_id: JobId, url: Url = DEFAULT_URL) -> None:
    """Remove a job that has ended, and its data."""
    from takt.client import Takt

    with Takt(url) as takt:
        takt.delete(job_id)
