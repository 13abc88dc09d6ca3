"""The operator's commands that need only the queue: arguments, options and help.

`takt workers`, `takt keys` and `takt dead-letters`; also `python -m stack`, without the client. Each command
imports its module when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stack.command_errors import reports_errors

Data = Annotated[Path, typer.Option("--data", help="The stack's data folder: queue, payloads, logs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document per line.")]
Letters = Annotated[
    list[str], typer.Argument(metavar="ID...", help="Dead letter ids, from `takt dead-letters list`.")
]
Workers = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Worker ids or names.")]
AllWorkers = Annotated[bool, typer.Option("--all", help="All workers that send a heartbeat.")]
Weight = Annotated[
    float | None,
    typer.Option(
        "--weight", help="Relative share of rows: weight 2 gets twice as many as weight 1. (default: 1)"
    ),
]
MaxRunningRows = Annotated[
    int | None,
    typer.Option(
        "--max-running-rows",
        min=0,
        help="Limit of job rows that run at once; 0: no limit. (default: no limit)",
    ),
]
MaxJobs = Annotated[
    int | None,
    typer.Option(
        "--max-jobs", min=0, help="Limit of jobs that have not ended; 0: no limit. (default: no limit)"
    ),
]

DATA = Path(".takt")

workers = typer.Typer(no_args_is_help=True, help="Live workers: list, drain, undrain.")
keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, change limits, revoke.")
dead_letters = typer.Typer(no_args_is_help=True, help="Unreadable messages and abandoned chunks.")


@workers.callback()
def _workers() -> None:
    """Live workers: list, drain, undrain."""


@workers.command("list")
@reports_errors
def list_workers(data: Data = DATA, as_json: AsJson = False) -> None:
    """List the workers that send a heartbeat.

    The queue is the one in TAKT_REDIS_URL, else that of the local stack.
    """
    from stack.worker_commands import show_workers

    show_workers(data, as_json=as_json)


@workers.command("drain")
@reports_errors
def drain_workers(
    names: Workers = None,
    everyone: AllWorkers = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the workers hold no work.")] = False,
    limit_s: Annotated[
        float | None,
        typer.Option("--limit", metavar="SECONDS", help="With --wait: exit with 1 after this time."),
    ] = None,
    data: Data = DATA,
) -> None:
    """Drain workers: they accept no work, finish online batches, return chunks, and stay idle.

    The drain lasts until `takt workers undrain` or until the worker exits. A restarted worker accepts work.
    """
    from stack.worker_commands import drain_workers as drain

    exit_unless(drain(data, names or [], everyone=everyone, wait=wait, limit_s=limit_s))


@workers.command("undrain")
@reports_errors
def undrain_workers(names: Workers = None, everyone: AllWorkers = False, data: Data = DATA) -> None:
    """Let drained workers accept work again."""
    from stack.worker_commands import undrain_workers as undrain

    undrain(data, names or [], everyone=everyone)


@keys.command("create")
@reports_errors
def create_key(
    name: Annotated[str, typer.Argument(help="The key's owner. Keys with the same name share their jobs.")],
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            help="predict, submit, read, deploy or admin; repeatable. (default: predict, submit, read)",
        ),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Allow only this model; repeatable. (default: all)")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", help="Lifetime: 12h, 90d, 52w. (default: never expires)")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", help="Request limit: 100/second, 5000/hour. (default: no limit)")
    ] = None,
    rows_per_day: Annotated[
        int | None,
        typer.Option(
            "--rows-per-day", min=1, help="Limit of rows in predictions and jobs. (default: no limit)"
        ),
    ] = None,
    weight: Weight = None,
    max_running_rows: MaxRunningRows = None,
    max_jobs: MaxJobs = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Create an API key and print it. It is printed only once: Takt stores only its digest."""
    from stack.key_commands import KeyRequest, create_key
    from stack.key_shares import ShareChange

    share = ShareChange(weight, max_running_rows, max_jobs)
    request = KeyRequest(name, roles or (), models or (), expires_in, rate, rows_per_day, share)
    create_key(data, request, as_json=as_json)


@keys.command("set")
@reports_errors
def set_share(
    owner: Annotated[str, typer.Argument(help="The owner's name, or the id of one of its keys.")],
    weight: Weight = None,
    max_running_rows: MaxRunningRows = None,
    max_jobs: MaxJobs = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Change the weight and limits of an owner. Takes effect on every gateway within two seconds."""
    from stack.key_commands import set_share
    from stack.key_shares import ShareChange

    set_share(data, owner, ShareChange(weight, max_running_rows, max_jobs), as_json=as_json)


@keys.command("list")
@reports_errors
def list_keys(data: Data = DATA, as_json: AsJson = False) -> None:
    """List the API keys, without their secrets.

    The queue is the one in TAKT_REDIS_URL, else that of the local stack.
    """
    from stack.key_commands import show_keys

    show_keys(data, as_json=as_json)


@keys.command("revoke")
@reports_errors
def revoke_keys(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Key ids, from `takt keys list`.")],
    data: Data = DATA,
) -> None:
    """Revoke API keys. Takes effect on every gateway within two seconds."""
    from stack.key_commands import revoke_keys

    revoke_keys(data, ids)


@dead_letters.command("list")
@reports_errors
def list_dead_letters(
    data: Data = DATA,
    most: Annotated[int, typer.Option("--most", min=1, help="How many to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first.

    The queue is the one in TAKT_REDIS_URL, else that of the local stack.
    """
    from stack.dead_letter_commands import show_letters

    show_letters(data, most, as_json=as_json)


@dead_letters.command("show")
@reports_errors
def show_dead_letter(letter: str, data: Data = DATA, as_json: AsJson = False) -> None:
    """Show a dead letter and the first bytes of its data."""
    from stack.dead_letter_commands import show_letter

    show_letter(data, letter, as_json=as_json)


@dead_letters.command("requeue")
@reports_errors
def requeue_dead_letters(letters: Letters, data: Data = DATA) -> None:
    """Return entries, doorbells and chunks to their queues. Exits with 1 at the first that fails."""
    from stack.dead_letter_commands import requeue

    requeue(data, letters)


@dead_letters.command("drop")
@reports_errors
def drop_dead_letters(letters: Letters, data: Data = DATA) -> None:
    """Delete dead letters."""
    from stack.dead_letter_commands import drop

    drop(data, letters)


def exit_unless(good: bool) -> None:
    """End the program with status 1 if a command has found a problem."""
    if not good:
        raise typer.Exit(1)
