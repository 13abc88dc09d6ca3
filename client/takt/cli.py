"""The `takt` program. The client's commands live here; the server's side joins through entry points.

Exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 try later: nobody answers, or not now.
Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from enum import IntEnum
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from takt.client import InputRow, Job, Json

P = ParamSpec("P")
R = TypeVar("R")

SERVER_COMMANDS = ("up", "doctor", "models", "workers")
"""What the server's side brings; named here to say how to get it where it is missing."""


class Exit(IntEnum):
    """What a script may rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    TRY_LATER = 3


Url = Annotated[str, typer.Option("--url", envvar="TAKT_URL", help="The service.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="The model. (default: the service's)")]
Version = Annotated[str | None, typer.Option("--version", help="Its version. (default: the model's)")]

_URL = "http://127.0.0.1:8000"

app = typer.Typer(
    name="takt",
    help="Takt serves machine-learning models from a queue.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """The program: the client's commands and those that are installed beside them."""
    join_installed(app)
    app()


def join_installed(program: typer.Typer) -> None:
    """Add the commands of entry points `takt.commands`: a Typer is a group, a function is a command."""
    found = {entry.name: entry for entry in entry_points(group="takt.commands")}
    for name in dict.fromkeys((*SERVER_COMMANDS, *found)):
        try:
            command = found[name].load()
        except (KeyError, ImportError) as error:
            program.command(name, hidden=True, context_settings=_ANYTHING)(_missing(name, error))
        else:
            if isinstance(command, typer.Typer):
                program.add_typer(command, name=name)
            else:
                program.command(name)(command)


_ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}


def _missing(name: str, error: Exception) -> Callable[[], None]:
    """A command that says how to get what it needs."""
    why = f" ({error})" if isinstance(error, ImportError) else ""

    def command() -> None:
        typer.echo(
            f"takt {name} is the server's side, which is not installed here{why}. In a checkout of Takt, "
            "`make up` installs and starts it; by hand: pip install -e ./client -e '.[api,worker,stack]'",
            err=True,
        )
        raise typer.Exit(Exit.FAILED)

    return command


def in_words(command: Callable[P, R]) -> Callable[P, R]:
    """The SDK's errors become a line on stderr and an exit code, not a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from takt.errors import TaktError, TryLater

        try:
            return command(*args, **kwargs)
        except TaktError as error:
            code = f"{error.code}: " if error.code else ""
            typer.secho(f"takt: {code}{error.detail}", fg="red", err=True)
            raise typer.Exit(Exit.TRY_LATER if isinstance(error, TryLater) else Exit.FAILED) from None

    return wrapped


@app.callback(invoke_without_command=True)
def _program(
    show_version: Annotated[bool, typer.Option("--version", is_eager=True, help="Show the version.")] = False,
) -> None:
    if show_version:
        typer.echo(f"takt {version('takt-client')}")
        raise typer.Exit


@app.command()
@in_words
def predict(
    rows: Annotated[
        str,
        typer.Argument(metavar="ROWS", help="JSON: a row or a list of rows; or a file of it; - for stdin."),
    ] = "-",
    model: Model = None,
    model_version: Version = None,
    url: Url = _URL,
) -> None:
    """Predict a row, or some, and wait for the answer: a JSON document a line."""
    from takt.client import Takt

    inputs = read_inputs(rows)
    with Takt(url) as takt:
        if isinstance(inputs, dict):
            answers = [takt.predict(inputs, model=model, version=model_version)]
        else:
            answers = takt.predict_batch(inputs, model=model, version=model_version)
    for answer in answers:
        typer.echo(_json(answer))


@app.command()
@in_words
def submit(
    rows: Annotated[str, typer.Argument(metavar="FILE", help="JSON: a list of rows; - for stdin.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The model.")],
    model_version: Version = None,
    reference: Annotated[str | None, typer.Option(help="Your own name for the job.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the job's end; exit 1 unless it succeeded.")
    ] = False,
    url: Url = _URL,
    as_json: AsJson = False,
) -> None:
    """Queue rows as a job, and print the job."""
    from takt.client import Takt

    inputs = read_inputs(rows)
    with Takt(url) as takt:
        listed = [inputs] if isinstance(inputs, dict) else inputs
        job = takt.submit(listed, model=model, version=model_version, reference=reference)
        if wait:
            typer.echo(f"takt: waiting for job {job.id}", err=True)
            job = takt.wait(job.id)
        _show_job(job, as_json=as_json)


@app.command()
@in_words
def status(job_id: JobId, url: Url = _URL, as_json: AsJson = False) -> None:
    """How far a job is."""
    from takt.client import Takt

    with Takt(url) as takt:
        _show_job(takt.job(job_id), as_json=as_json)


@app.command()
@in_words
def results(job_id: JobId, url: Url = _URL) -> None:
    """A job's results, in the order of its rows: a JSON document a line."""
    from takt.client import Takt

    with Takt(url) as takt:
        for row in takt.results(job_id):
            typer.echo(_json(row))


def read_inputs(source: str) -> Json | list[InputRow]:
    """One row by field names, or a list of rows, from JSON text, a file of it, or standard input (`-`).

    A row without names is a list of one row. Raises typer.BadParameter.
    """
    text = _text(source)
    try:
        document: Any = json.loads(text)  # Any: checked below
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}") from error
    match document:
        case dict() as row:
            return dict(row)
        case [list() | dict(), *_] as rows:
            return list(rows)
        case [_, *_] as row_without_names:
            return [list(row_without_names)]
        case _:
            raise typer.BadParameter("neither a row nor a list of rows")


def _text(source: str) -> str:
    if source == "-":
        if sys.stdin.isatty():
            raise typer.BadParameter("no rows: give JSON, a file, or pipe them in")
        return sys.stdin.read()
    if source.lstrip().startswith(("{", "[")):
        return source
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{source}: {getattr(error, 'strerror', None) or error}") from error


def _show_job(job: Job, *, as_json: bool) -> None:
    if as_json:
        typer.echo(_json(job.document))
        return
    total = "?" if job.rows_total is None else job.rows_total
    done = job.rows_succeeded + job.rows_failed
    failed = f", {job.rows_failed} failed" if job.rows_failed else ""
    typer.echo(f"{job.id}  {job.state}  {job.model}@{job.version}  {done} of {total} rows{failed}")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
