"""`takt submit`: a file becomes a job; where asked for, its end is waited for and its results are fetched."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from takt.bodies import PIECE_BYTES
from takt.commands.inputs import is_json_text, read_inputs
from takt.commands.outputs import Output, check_output, fetch
from takt.commands.voice import (
    DEFAULT_URL,
    AsJson,
    Exit,
    Url,
    complain,
    in_words,
    remark,
    show_job,
    show_report,
    summary_of,
)
from takt.formats import Format

if TYPE_CHECKING:
    from takt.bodies import Rows
    from takt.calls import MoreTerms
    from takt.client import Takt
    from takt.commands.bars import Bars
    from takt.records import Job


@in_words
def submit(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Rows, by the file's ending; or JSON; - for stdin.")
    ],
    *,
    model: Annotated[str, typer.Option("--model", "-m", help="The model.")],
    version: Annotated[str | None, typer.Option(help="Its version. (default: the model's)")] = None,
    reference: Annotated[str | None, typer.Option(help="Your own name for the job.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="As weight. (default: 5)")] = None,
    max_errors: Annotated[
        str | None, typer.Option(help="Rows that may fail: a count (25) or a share (10%).")
    ] = None,
    keep_columns: Annotated[
        str | None, typer.Option(help="Columns that come back in the result, between commas.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="The column that names a row; comes back too.")
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format | None, typer.Option(help="Of FILE, where its ending does not say it.")
    ] = None,
    charset: Annotated[str | None, typer.Option(help="Of CSV: utf-8, cp949, …")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of CSV; `tab` for a tab.")] = None,
    quote: Annotated[str | None, typer.Option(help='Of CSV: what encloses values. (default: ")')] = None,
    decimal: Annotated[str | None, typer.Option(help="Of CSV: a point or a comma. (default: .)")] = None,
    expires_in_s: Annotated[
        float | None, typer.Option("--expires-in-s", help="How long the job is kept once it has ended.")
    ] = None,
    webhook_url: Annotated[str | None, typer.Option(help="Where the job's end is told.")] = None,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Check every row, run nothing, leave no job behind.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the job's end.")] = False,
    output: Output = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Queue a file's rows as a job, and print the job.

    With -o the job's end is waited for, and its results are written to a file in the format of its ending.
    Whether that can be written is checked before anything is sent. Ctrl-C leaves the job running.
    """
    from takt.client import Takt
    from takt.commands.bars import Bars

    check_output(output)
    rows, found = _rows(file, format)
    terms: MoreTerms = {
        "version": version,
        "reference": reference,
        "tags": tag or (),
        "priority": priority,
        "max_errors": max_errors,
        "keep_columns": keep_columns.split(",") if keep_columns else (),
        "id_column": id_column,
        "charset": charset,
        "delimiter": delimiter,
        "quote": quote,
        "decimal": decimal,
        "expires_in_s": expires_in_s,
        "webhook_url": webhook_url,
    }
    with Takt(url) as takt:
        if validate_only:
            report = takt.check(rows, model=model, format=found, **terms)
            show_report(report, json=as_json)
            raise typer.Exit(Exit.DONE if report.valid else Exit.REFUSED)
        with Bars() as bars:
            on_sent = bars.sending(_size_bytes(rows))
            job = takt.submit(rows, model=model, format=found, on_sent=on_sent, **terms)
            if wait or output:
                job = wait_for(takt, job.id, bars)
                size_bytes = fetch(takt, job.id, output) if output else 0
                remark(summary_of(job, output or "", size_bytes))
    if output != "-":
        show_job(job, json=as_json)


def wait_for(takt: Takt, job_id: str, bars: Bars) -> Job:
    """The job once it has succeeded. Raises JobFailed."""
    from takt.following import ended_well

    with left_running(job_id):
        bars.following(takt.watch(job_id))
        return ended_well(takt.job(job_id))


@contextmanager
def left_running(job_id: str) -> Iterator[None]:
    """Ctrl-C ends the waiting, not the job."""
    try:
        yield
    except KeyboardInterrupt:
        complain(f"no longer waiting; job {job_id} goes on: takt watch {job_id}")
        raise typer.Exit(Exit.INTERRUPTED) from None


def _rows(file: str, format: Format | None) -> tuple[Rows, Format | None]:  # noqa: A002 - the option's name
    """What to send: a path stays one, so that the file is read while it is sent."""
    if file == "-" and format not in (None, Format.JSON):
        return iter(lambda: sys.stdin.buffer.read(PIECE_BYTES), b""), format
    if file == "-" or is_json_text(file):
        inputs = read_inputs(file)
        return ([inputs] if isinstance(inputs, dict) else inputs), None
    return Path(file), format


def _size_bytes(rows: object) -> int | None:
    return rows.stat().st_size if isinstance(rows, Path) else None
