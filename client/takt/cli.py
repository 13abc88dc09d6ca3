"""The `takt` program. Client commands are in `takt.commands`; operator commands join through entry points.

Exit codes: 0 done · 1 rejected · 2 usage error · 3 service unavailable, try later · 4 job failed ·
5 job canceled · 130 interrupted by Ctrl-C; a job that was waited for continues.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from takt.commands import comparing, deploy, jobs, models, predict
from takt.commands import submit as submission
from takt.commands.terminal import Exit

SERVER_COMMANDS = ("up", "doctor", "workers", "keys")
"""The operator commands. If they are not installed, their names print how to install them."""

app = typer.Typer(
    name="takt",
    help="Send predictions and jobs to a Takt service, and operate it.",
    epilog="Exit codes: 0 done, 1 rejected, 2 usage error, 3 try later, 4 job failed, 5 job canceled, "
    "130 Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the program with all installed commands."""
    join_installed(app)
    app()


def join_installed(program: typer.Typer) -> None:
    """Add the commands of the entry points `takt.commands`: a Typer as a group, a function as a command."""
    found = {entry.name: entry for entry in entry_points(group="takt.commands")}
    for name in dict.fromkeys((*SERVER_COMMANDS, *found)):
        try:
            command = found[name].load()
        except (KeyError, ImportError) as error:
            program.command(name, hidden=True, context_settings=_ANYTHING)(_missing(name, error))
        else:
            if name == "models":
                join_models(command)
            elif isinstance(command, typer.Typer):
                program.add_typer(command, name=name)
            else:
                program.command(name)(command)


def join_models(group: typer.Typer) -> None:
    """Add the commands for the models of this machine to those for a service; `list` and `verify` do both."""
    names = {command.name for command in group.registered_commands}
    own = [command for command in models.models.registered_commands if command.name not in names]
    models.models.registered_commands = own + group.registered_commands


NAMES = ("TAKT_URL", "TAKT_API_KEY")
"""The environment variables of the client."""


def _warn_of_misspelt_names() -> None:
    """Warn about variables that resemble a client variable.

    The operator commands check the server's settings.
    """
    for name in sorted(os.environ):
        nearest = get_close_matches(name.upper(), NAMES, n=1, cutoff=0.85)
        if nearest and name not in NAMES:
            typer.echo(f"takt: {name} has no effect. Did you mean {nearest[0]}?", err=True)


_ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}


def _missing(name: str, error: Exception) -> Callable[[], None]:
    """Returns a command that prints how to install the operator commands."""
    why = f" ({error})" if isinstance(error, ImportError) else ""

    def command() -> None:
        typer.echo(
            f"takt {name} requires the server packages, which are not installed{why}. In a checkout of Takt, "
            "run `make up`, or: pip install -e ./client -e '.[api,worker,stack]'",
            err=True,
        )
        raise typer.Exit(Exit.REFUSED)

    return command


@app.callback(invoke_without_command=True)
def _program(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version.")
    ] = False,
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key", help="API key. Prefer TAKT_API_KEY: other users can read your command line."
        ),
    ] = None,
) -> None:
    _warn_of_misspelt_names()
    if api_key is not None:
        os.environ["TAKT_API_KEY"] = api_key  # read by the client
    if show_version:
        typer.echo(f"takt {version('takt-client')}")
        raise typer.Exit


for _command in (
    predict.predict,
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
    comparing.replay,
    comparing.retry,
    comparing.difference,
    deploy.deploy,
    deploy.rollback,
    deploy.rollout,
    deploy.rollouts,
):
    app.command()(_command)
app.add_typer(models.models, name="models")
