"""The `takt` program. The client's commands live in `takt.commands`; the server's join through entry points.

Exit codes, for scripts: 0 done · 1 refused · 2 wrong usage · 3 try later: nobody answers, or not now ·
4 the job failed · 5 the job was canceled · 130 Ctrl-C; a job that was waited for goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from takt.commands import jobs, predicting, submission
from takt.commands.voice import Exit

SERVER_COMMANDS = ("up", "doctor", "models", "workers", "keys")
"""What the server's side brings; named here to say how to get it where it is missing."""

app = typer.Typer(
    name="takt",
    help="Takt serves machine-learning models from a queue.",
    epilog="Exit codes: 0 done, 1 refused, 2 usage, 3 try later, 4 job failed, 5 job canceled, 130 Ctrl-C.",
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


NAMES = ("TAKT_URL", "TAKT_API_KEY")
"""The variables that the client reads."""


def _warn_of_misspelt_names() -> None:
    """A misspelt variable has no effect. The server's are the server's to know: only near misses count."""
    for name in sorted(os.environ):
        nearest = get_close_matches(name.upper(), NAMES, n=1, cutoff=0.85)
        if nearest and name not in NAMES:
            typer.echo(f"takt: {name} has no effect. Did you mean {nearest[0]}?", err=True)


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
        raise typer.Exit(Exit.REFUSED)

    return command


@app.callback(invoke_without_command=True)
def _program(
    show_version: Annotated[bool, typer.Option("--version", is_eager=True, help="Show the version.")] = False,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", help="The service's key. TAKT_API_KEY is safer: others see what you type."),
    ] = None,
) -> None:
    _warn_of_misspelt_names()
    if api_key is not None:
        os.environ["TAKT_API_KEY"] = api_key  # where the client looks for it
    if show_version:
        typer.echo(f"takt {version('takt-client')}")
        raise typer.Exit


for _command in (
    predicting.predict,
    submission.submit,
    jobs.jobs,
    jobs.status,
    jobs.watch,
    jobs.cancel,
    jobs.pause,
    jobs.resume,
    jobs.results,
    jobs.errors,
    jobs.delete,
):
    app.command()(_command)
