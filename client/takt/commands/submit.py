"""`takt submit`: submits a file as a job, and optionally waits for it and fetches its results."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from takt.bodies import PIECE_BYTES
from takt.commands.inputs import is_json_text, read_inputs
from takt.commands.output_files import Output, check_output, fetch
from takt.commands.terminal import (
    DEFAULT_URL,
    AsJson,
    Exit,
    Url,
    print_error,
    print_note,
    reports_errors,
    show_job,
    show_report,
    summary_of,
)
from takt.formats import Format

if TYPE_CHECKING:
    from takt.bodies import Rows
    from takt.calls import JobOptionsArguments
    from takt.client import Takt
    from takt.commands.progress_bar import Bars
    from takt.records import Job


@reports_errors
def submit(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of rows, or JSON text; -: stdin.")],
    *,
    model: Annotated[str, typer.Option("--model", "-m", help="The model.")],
    version: Annotated[
        str | None, typer.Option(help="The model's version. (default: the model's default)")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Your own name for the job.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; repeatable.")] = None,
    priority: Annotated[
        int | None, typer.Option(min=0, max=9, help="Weight among jobs. (default: 5)")
    ] = None,
    max_errors: Annotated[
        str | None, typer.Option(help="Rows that may fail: a number (25) or a percentage (10%).")
    ] = None,
    keep_columns: Annotated[
        str | None, typer.Option(help="Input columns to copy to the results, comma-separated.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="The column that identifies rows; copied to the results.")
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format | None, typer.Option(help="Format of FILE. (default: from its extension)")
    ] = None,
    charset: Annotated[str | None, typer.Option(help="Character set of a CSV: utf-8, cp949, …")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Delimiter of a CSV; `tab` for a tab.")] = None,
    quote: Annotated[str | None, typer.Option(help='Quote character of a CSV. (default: ")')] = None,
    decimal: Annotated[str | None, typer.Option(help="Decimal separator of a CSV. (default: .)")] = None,
    ignore_unknown_fields: Annotated[
        bool,
        typer.Option(
            "--ignore-unknown-fields",
            help="Ignore fields of NDJSON and JSON that are no input, as of other formats.",
        ),
    ] = False,
    expires_in_s: Annotated[
        float | None, typer.Option("--expires-in-s", help="Seconds to keep the job after it has ended.")
    ] = None,
    webhook_url: Annotated[str | None, typer.Option(help="URL that Takt POSTs to when the job ends.")] = None,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Validate every row; run nothing and create no job.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job ends.")] = False,
    output: Output = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Submit the rows of a file as a job, and print the job.

    With -o, wait for the job and write its results to a file in the format of its extension. The file is
    checked for write access before anything is sent. Ctrl-C does not cancel the job.
    """
    from takt.client import Takt
    from takt.commands.progress_bar import Bars

    check_output(output)
    rows, found = _rows(file, format)
    options: JobOptionsArguments = {
        "version": version,
        "reference": reference,
        "tags": tag or (),
        "priority": priority,
        "max_errors": max_errors,
        "keep_columns": _listed(keep_columns or ""),
        "id_column": id_column,
        "charset": charset,
        "delimiter": delimiter,
        "quote": quote,
        "decimal": decimal,
        "ignore_unknown_fields": ignore_unknown_fields,
        "expires_in_s": expires_in_s,
        "webhook_url": webhook_url,
    }
    with Takt(url) as takt:
        if validate_only:
            report = takt.check(rows, model=model, format=found, **options)
            show_report(report, json=as_json)
            raise typer.Exit(Exit.DONE if report.valid else Exit.REFUSED)
        with Bars() as bars:
            on_sent = bars.sending(_size_bytes(rows))
            job = takt.submit(rows, model=model, format=found, on_sent=on_sent, **options)
            if wait or output:
                job = wait_for(takt, job.id, bars)
                size_bytes = fetch(takt, job.id, output) if output else 0
                print_note(summary_of(job, output or "", size_bytes))
    if output != "-":
        show_job(job, json=as_json)


def _listed(columns: str) -> list[str]:
    """The names in a comma-separated list; a name that contains a comma is in quotes."""
    return [name.strip() for name in next(csv.reader([columns], skipinitialspace=True), [])]


def wait_for(takt: Takt, job_id: str, bars: Bars) -> Job:
    """Wait for a job to succeed, and return it. Raises JobFailed."""
    from takt.errors import ended_well

    with left_running(job_id):
        bars.following(takt.watch(job_id))
        return ended_well(takt.job(job_id))


@contextmanager
def left_running(job_id: str) -> Iterator[None]:
    """On Ctrl-C, stop waiting and leave the job running."""
    try:
        yield
    except KeyboardInterrupt:
        print_error(f"stopped waiting; job {job_id} continues: takt watch {job_id}")
        raise typer.Exit(Exit.INTERRUPTED) from None


def _rows(file: str, format: Format | None) -> tuple[Rows, Format | None]:  # noqa: A002 - the option's name
    """Returns the rows and their format. A path is kept, so that the file is read while it is sent."""
    if file == "-" and format not in (None, Format.JSON):
        return iter(lambda: sys.stdin.buffer.read(PIECE_BYTES), b""), format
    if file == "-" or is_json_text(file):
        inputs = read_inputs(file)
        return ([inputs] if isinstance(inputs, dict) else inputs), None
    return Path(file), format


def _size_bytes(rows: object) -> int | None:
    return rows.stat().st_size if isinstance(rows, Path) else None
