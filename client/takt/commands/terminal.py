"""Output of the commands: exit codes, error messages, jobs as lines and tables.

Results go to standard output, everything else to standard error. A terminal gets bars, tables and a summary;
a pipe gets plain lines only.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from takt.errors import TaktError
    from takt.records import Job, Report

P = ParamSpec("P")
R = TypeVar("R")


class Exit(IntEnum):
    """The exit codes, which are stable."""

    DONE = 0
    REFUSED = 1  # the service rejects the request, or a file cannot be read or written
    USAGE = 2
    TRY_LATER = 3  # the service is unavailable
    FAILED = 4  # the job failed
    CANCELED = 5  # the job was canceled
    INTERRUPTED = 130  # Ctrl-C; a job that was waited for continues


DEFAULT_URL = "http://127.0.0.1:8000"
Url = Annotated[str, typer.Option("--url", envvar="TAKT_URL", help="URL of the service.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Print errors as a line on stderr and exit with a code, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from takt.errors import TaktError

        try:
            return command(*args, **kwargs)
        except TaktError as error:
            code = f"{error.code}: " if error.code else ""
            print_error(f"{code}{words_of(error)}")
            raise typer.Exit(exit_of(error)) from None
        except BrokenPipeError:
            raise  # the reader closed the pipe: typer ends the program silently
        except OSError as error:
            print_error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
            raise typer.Exit(Exit.REFUSED) from None
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return wrapped


def exit_of(error: TaktError) -> Exit:
    from takt.errors import JobCanceled, JobFailed, TryLater

    match error:
        case TryLater():
            return Exit.TRY_LATER
        case JobCanceled():
            return Exit.CANCELED
        case JobFailed():
            return Exit.FAILED
        case _:
            return Exit.REFUSED


def words_of(error: TaktError) -> str:
    """Returns the error's detail; several problems are listed line by line."""
    from takt.errors import InvalidInput

    if isinstance(error, InvalidInput) and len(error.problems) > 1:
        return "\n".join(("", *(f"  {problem}" for problem in error.problems)))
    return error.detail


def print_error(words: str) -> None:
    typer.secho(f"takt: {words}", fg="red", err=True)


def print_note(words: str) -> None:
    """Print a note to stderr, if stderr is a terminal."""
    if sys.stderr.isatty():
        typer.echo(words, err=True)


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def show_job(job: Job, *, json: bool) -> None:
    """Print a job as a line that begins with its id, or as JSON."""
    typer.echo(as_json(job.document) if json else line_of(job))


def show_report(report: Report, *, json: bool) -> None:
    """Print a report: a summary line, then a line for each of the first invalid rows."""
    if json:
        typer.echo(as_json(asdict(report)))
        return
    verdict = "valid" if report.valid else f"{report.rows_invalid} invalid"
    ignored = f"; ignored columns: {', '.join(report.ignored_columns)}" if report.ignored_columns else ""
    typer.echo(f"{report.rows_total} rows, {verdict}{ignored}")
    for problem in report.problems:
        line = "" if problem.line is None else f" (line {problem.line})"
        typer.echo(f"row {problem.row}{line}: {problem.reason}")


def line_of(job: Job) -> str:
    failed = f", {job.rows_failed} failed" if job.rows_failed else ""
    ends = _ends(job)
    return f"{job.id}  {job.state}  {job.model}@{job.version}  {_done(job)} rows{failed}{ends}{_why(job)}"


def _done(job: Job) -> str:
    return f"{job.rows_done} of {'?' if job.rows_total is None else job.rows_total}"


def _ends(job: Job) -> str:
    """Returns `  ends in 40 to 95 s`, or a single time if the service gives no range."""
    if job.eta_s is None or job.waiting:
        return ""
    if job.eta_low_s is None or job.eta_high_s is None:
        return f"  ends in about {job.eta_s:,.0f} s"
    return f"  ends in {job.eta_low_s:,.0f} to {job.eta_high_s:,.0f} s"


def _why(job: Job) -> str:
    why = job.error or job.waiting
    return f"  {why.detail}" if why else ""


def summary_of(job: Job, file: str = "", size_bytes: int = 0) -> str:
    """`20,000 rows, 3 failed, in 1.2 s (16,667 rows/s) → out.parquet (1.1 MB)`"""
    took_s = job.took_s
    rate = f" in {took_s:.1f} s ({job.rows_done / took_s:,.0f} rows/s)" if took_s else ""
    written = f" → {file} ({megabytes(size_bytes)})" if file else ""
    return f"{job.rows_done:,} rows, {job.rows_failed:,} failed,{rate}{written}"


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.1f} kB"


_COLUMNS = ("id", "state", "model", "rows", "failed", "created", "reference")


def show_jobs(jobs: Iterable[Job], *, json: bool) -> None:
    """Print jobs as a table in a terminal, as tab-separated lines in a pipe, or as JSON lines."""
    if json:
        for job in jobs:
            typer.echo(as_json(job.document))
    elif sys.stdout.isatty():
        _console().print(_table(jobs))
    else:
        for job in jobs:
            typer.echo("\t".join(_cells(job)))


def _console() -> Console:
    from rich.console import Console

    return Console()


def _table(jobs: Iterable[Job]) -> object:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in _COLUMNS:
        table.add_column(
            name, justify="right" if name in ("rows", "failed") else "left", no_wrap=name == "id"
        )
    for job in jobs:
        table.add_row(*_cells(job))
    return table


def _cells(job: Job) -> tuple[str, ...]:
    created = job.created_at.astimezone().isoformat(sep=" ", timespec="seconds")
    model = f"{job.model}@{job.version}"
    return job.id, job.state, model, _done(job), str(job.rows_failed), created, job.reference
