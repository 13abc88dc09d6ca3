"""The server side's commands of the `takt` program: words in, words out, and the work left to other modules.

They join the client's program through the entry points `takt.commands`. Imports are inside the commands, so
that `takt --help` is quick.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

P = ParamSpec("P")
R = TypeVar("R")

Data = Annotated[Path, typer.Option("--data", help="The stack's folder: queue, payloads, logs.")]
ModelsDir = Annotated[
    Path | None, typer.Option("--models-dir", help="The model repository. (default: models)")
]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME[@VERSION]]...", help="Models, in their default version; none named: all."),
]
Letters = Annotated[list[str], typer.Argument(metavar="ID...", help="Letters, as the list names them.")]
Workers = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Workers, by id or name.")]
AllWorkers = Annotated[bool, typer.Option("--all", help="Every worker with a heartbeat.")]
AsJson = Annotated[bool, typer.Option("--json", help="A JSON document a line, for scripts.")]

_DATA = Path(".takt")

models = typer.Typer(no_args_is_help=True, help="The model repository: list, build, verify.")
workers = typer.Typer(no_args_is_help=True, help="The workers that serve now.")
Weight = Annotated[
    float | None,
    typer.Option("--weight", help="Share of rows between owners: 2 gets twice what 1 gets. (default: 1)"),
]
MaxRunningRows = Annotated[
    int | None,
    typer.Option("--max-running-rows", min=0, help="Rows of jobs that run at once; 0: any. (default: any)"),
]
MaxJobs = Annotated[
    int | None,
    typer.Option("--max-jobs", min=0, help="Jobs that have not ended; 0: any. (default: any)"),
]

keys = typer.Typer(no_args_is_help=True, help="API keys: who may do what.")
dead_letters = typer.Typer(no_args_is_help=True, help="What could not be read and was set aside.")


def in_words(command: Callable[P, R]) -> Callable[P, R]:
    """Errors that Takt raises on purpose become a line on stderr and exit code 1, not a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from shared.errors import TaktError

        if command.__name__ != "doctor":  # which lists them among its findings
            _warn_of_unknown_settings()
        try:
            return command(*args, **kwargs)
        except TaktError as error:
            typer.secho(f"takt: {error.detail}", fg="red", err=True)
            raise typer.Exit(1) from None

    return wrapped


@in_words
def up(
    port: Annotated[
        int | None, typer.Option(help="The gateway's port; 0: any free one. (default: 8000)")
    ] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on. (default: 127.0.0.1)")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes. (default: cores - 1)")] = None,
    models: Annotated[str | None, typer.Option(help="Models to serve, as a,b. (default: all)")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, or one GPU: cuda:N. (default: cpu)")] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="An existing queue instead of the embedded one (or TAKT_REDIS_URL).")
    ] = None,
    access: Annotated[
        str | None,
        typer.Option(help="keys: requests need one; open. (default: open on this machine, keys elsewhere)"),
    ] = None,
    models_dir: ModelsDir = None,
    data: Data = _DATA,
) -> None:
    """Start everything on this machine: queue, gateway, workers. Ctrl-C ends it all."""
    from stack.output import Output
    from stack.plan import make_plan
    from stack.up import up as run

    given = {
        "port": port,
        "host": host,
        "models": models,
        "device": device,
        "redis_url": redis_url,
        "access": access,
        "models_dir": models_dir,
    }
    run(make_plan(data, workers, given), Output())


@in_words
def doctor(
    data: Data = _DATA,
    port: Annotated[int | None, typer.Option(help="The port that must be free. (default: 8000)")] = None,
    models_dir: ModelsDir = None,
) -> None:
    """Say what is wrong with this installation, and what to do. Exits 1 where something is."""
    from stack.doctor import examine

    _exit_unless(examine(data, {"port": port, "models_dir": models_dir}))


@models.command("list")
@in_words
def list_models(models_dir: ModelsDir = None, as_json: AsJson = False) -> None:
    """What is declared, and which versions are built. Exits 1 where a spec is wrong."""
    from stack.models import show_models

    _exit_unless(show_models(models_dir, as_json=as_json))


@models.command("build")
@in_words
def build_models(
    names: Names = None,
    force: Annotated[bool, typer.Option("--force", help="Build again what is built.")] = False,
    version: Annotated[str | None, typer.Option(help="Build this version. (default: the spec's)")] = None,
    models_dir: ModelsDir = None,
    as_json: AsJson = False,
) -> None:
    """Train models and write their artifacts. Exits 1 where one fails."""
    from stack.models import build_models as build

    options = [*(["--force"] if force else []), *(["--version", version] if version else [])]
    _exit_unless(build(models_dir, names or [], options, as_json=as_json))


@models.command("verify")
@in_words
def verify_models(names: Names = None, models_dir: ModelsDir = None, as_json: AsJson = False) -> None:
    """Check digests, load each model and run its golden rows. Exits 1 where one fails."""
    from stack.models import verify_models as verify

    _exit_unless(verify(models_dir, names or [], as_json=as_json))


@workers.callback()
def _workers() -> None:
    """The workers that serve now."""


@workers.command("list")
@in_words
def list_workers(data: Data = _DATA, as_json: AsJson = False) -> None:
    """Every worker with a heartbeat, on TAKT_REDIS_URL's queue, else on the local stack's."""
    from stack.workers import show_workers

    show_workers(data, as_json=as_json)


@workers.command("drain")
@in_words
def drain_workers(
    names: Workers = None,
    everyone: AllWorkers = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return once they hold nothing any more.")] = False,
    limit_s: Annotated[
        float | None, typer.Option("--limit", metavar="SECONDS", help="Wait so long at most; then exit 1.")
    ] = None,
    data: Data = _DATA,
) -> None:
    """Have workers take no work: they finish what they hold, hand chunks back, and stay up, idle.

    They do so until `takt workers undrain`, or their end: one that is started again takes work.
    """
    from stack.workers import drain_workers as drain

    _exit_unless(drain(data, names or [], everyone=everyone, wait=wait, limit_s=limit_s))


@workers.command("undrain")
@in_words
def undrain_workers(names: Workers = None, everyone: AllWorkers = False, data: Data = _DATA) -> None:
    """Have drained workers take work again."""
    from stack.workers import undrain_workers as undrain

    undrain(data, names or [], everyone=everyone)


@keys.command("create")
@in_words
def create_key(
    name: Annotated[str, typer.Argument(help="Whose it is: keys of one name share their jobs.")],
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            help="predict, submit, read or admin; once for each. (default: all but admin)",
        ),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Only this model; once for each. (default: all)")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", help="When it ends: 12h, 90d, 52w. (default: never)")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", help="Requests: 100/second, 5000/hour. (default: any number)")
    ] = None,
    rows_per_day: Annotated[
        int | None,
        typer.Option("--rows-per-day", min=1, help="Rows, of predictions and jobs. (default: any)"),
    ] = None,
    weight: Weight = None,
    max_running_rows: MaxRunningRows = None,
    max_jobs: MaxJobs = None,
    data: Data = _DATA,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once; only its digest is kept."""
    from stack.keys import KeyRequest, create_key
    from stack.shares import ShareChange

    share = ShareChange(weight, max_running_rows, max_jobs)
    wish = KeyRequest(name, roles or (), models or (), expires_in, rate, rows_per_day, share)
    create_key(data, wish, as_json=as_json)


@keys.command("set")
@in_words
def set_share(
    owner: Annotated[str, typer.Argument(help="The name of the keys, or the id of one of them.")],
    weight: Weight = None,
    max_running_rows: MaxRunningRows = None,
    max_jobs: MaxJobs = None,
    data: Data = _DATA,
    as_json: AsJson = False,
) -> None:
    """Change weight and limits of all keys of one name; gateways follow within two seconds."""
    from stack.keys import set_share
    from stack.shares import ShareChange

    set_share(data, owner, ShareChange(weight, max_running_rows, max_jobs), as_json=as_json)


@keys.command("list")
@in_words
def list_keys(data: Data = _DATA, as_json: AsJson = False) -> None:
    """Every key, without its secret, on TAKT_REDIS_URL's queue, else on the local stack's."""
    from stack.keys import show_keys

    show_keys(data, as_json=as_json)


@keys.command("revoke")
@in_words
def revoke_keys(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Keys, as the list names them.")],
    data: Data = _DATA,
) -> None:
    """Have keys open nothing any more, at every gateway, within two seconds."""
    from stack.keys import revoke_keys

    revoke_keys(data, ids)


@dead_letters.command("list")
@in_words
def list_dead_letters(
    data: Data = _DATA,
    most: Annotated[int, typer.Option("--most", min=1, help="So many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What was set aside, the newest first, on TAKT_REDIS_URL's queue, else on the local stack's."""
    from stack.dead_letters import show_letters

    show_letters(data, most, as_json=as_json)


@dead_letters.command("show")
@in_words
def show_dead_letter(letter: str, data: Data = _DATA, as_json: AsJson = False) -> None:
    """One letter with what is kept of its bytes."""
    from stack.dead_letters import show_letter

    show_letter(data, letter, as_json=as_json)


@dead_letters.command("requeue")
@in_words
def requeue_dead_letters(letters: Letters, data: Data = _DATA) -> None:
    """Put entries, doorbells and chunks back where they came from. Exits 1 where one cannot be."""
    from stack.dead_letters import requeue

    requeue(data, letters)


@dead_letters.command("drop")
@in_words
def drop_dead_letters(letters: Letters, data: Data = _DATA) -> None:
    """Forget letters."""
    from stack.dead_letters import drop

    drop(data, letters)


def _warn_of_unknown_settings() -> None:
    from shared.setting_names import unknown_in_environment

    for unknown in unknown_in_environment():
        typer.secho(f"takt: {unknown.sentence}", fg="yellow", err=True)


def _exit_unless(good: bool) -> None:
    if not good:
        raise typer.Exit(1)
