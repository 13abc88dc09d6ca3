"""The commands of operators, who run a service: workers, keys, dead letters, storage, settings, versions.

Each works on the queue, or with `--url` on a gateway. A command imports its module when it runs, so that
`takt --help` is fast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Concatenate

import typer

from stack.command_errors import P, R, reports_errors

Data = Annotated[Path, typer.Option("--data", help="The stack's data folder: queue, payloads, logs.")]
Url = Annotated[
    str | None,
    typer.Option("--url", help="A gateway's URL, used in place of the queue with the key in TAKT_API_KEY."),
]
GatewayUrl = Annotated[str, typer.Option("--url", envvar="TAKT_URL", help="A gateway's URL.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document per line.")]

DATA = Path(".takt")
_URL = "http://127.0.0.1:8000"

Letters = Annotated[
    list[str], typer.Argument(metavar="ID...", help="Dead letter ids, from `takt dead-letters list`.")
]
Workers = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Worker ids or names.")]
AllWorkers = Annotated[bool, typer.Option("--all", help="All workers that send a heartbeat.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the order is carried out.")]
Limit = Annotated[
    float | None,
    typer.Option("--limit", metavar="SECONDS", help="With --wait: exit with 1 after this time."),
]
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

workers = typer.Typer(no_args_is_help=True, help="Live workers: list, drain, undrain, restart, stack, log.")
keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, change limits, revoke.")
dead_letters = typer.Typer(no_args_is_help=True, help="Unreadable messages and abandoned chunks.")
storage = typer.Typer(no_args_is_help=True, help="The payload store: show, clean.")


@workers.callback()
def _workers() -> None:
    """Live workers: list, drain, undrain, restart, stack, log."""


@workers.command("list")
@reports_errors
def list_workers(data: Data = DATA, url: Url = None, as_json: AsJson = False) -> None:
    """List the workers that send a heartbeat.

    The queue is the one in TAKT_REDIS_URL, else that of the local stack.
    """
    from stack import gateway_commands, worker_commands

    _either(data, worker_commands.show_workers, url, gateway_commands.show_workers)(as_json=as_json)


@workers.command("drain")
@reports_errors
def drain_workers(
    names: Workers = None,
    everyone: AllWorkers = False,
    wait: Wait = False,
    limit_s: Limit = None,
    data: Data = DATA,
    url: Url = None,
) -> None:
    """Drain workers: they accept no work, finish online batches, return chunks, and stay idle.

    The drain lasts until `takt workers undrain` or until the worker exits. A restarted worker accepts work.
    """
    from stack import gateway_commands, worker_commands

    drain = _either(data, worker_commands.drain_workers, url, gateway_commands.drain_workers)
    exit_unless(drain(names or [], everyone=everyone, wait=wait, limit_s=limit_s))


@workers.command("restart")
@reports_errors
def restart_workers(
    names: Workers = None,
    everyone: AllWorkers = False,
    wait: Wait = False,
    limit_s: Limit = None,
    url: GatewayUrl = _URL,
) -> None:
    """Replace workers: each ends after its successor serves."""
    from stack.gateway_commands import order_workers

    exit_unless(order_workers(url, "restart", names or [], everyone=everyone, wait=wait, limit_s=limit_s))


@workers.command("stack")
@reports_errors
def show_stack(
    name: Annotated[str, typer.Argument(metavar="ID", help="A worker's id or name.")], url: GatewayUrl = _URL
) -> None:
    """Print the stacks of a worker's threads, for example of one that is stuck in a call."""
    from stack.gateway_commands import show_stack as show

    show(url, name)


@workers.command("log")
@reports_errors
def show_log(
    name: Annotated[str, typer.Argument(metavar="ID", help="A worker's id or name.")],
    level: Annotated[
        str, typer.Option("--level", help="The lowest level: debug, info, warning, error or critical.")
    ] = "debug",
    url: GatewayUrl = _URL,
    as_json: AsJson = False,
) -> None:
    """Print the latest log events of a worker: 100 of warnings and above, 100 below."""
    from stack.gateway_commands import show_log as show

    show(url, name, level, as_json=as_json)


@workers.command("undrain")
@reports_errors
def undrain_workers(
    names: Workers = None, everyone: AllWorkers = False, data: Data = DATA, url: Url = None
) -> None:
    """Let drained workers accept work again."""
    from stack import gateway_commands, worker_commands

    undrain = _either(data, worker_commands.undrain_workers, url, gateway_commands.undrain_workers)
    undrain(names or [], everyone=everyone)


@keys.command("create")
@reports_errors
def create_key(
    name: Annotated[str, typer.Argument(help="The key's owner. Keys with the same name share their jobs.")],
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            help="predict, submit, read, deploy, operate, audit or admin; repeatable. (default: predict, "
            "submit, read)",
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
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key and print it. It is printed only once: Takt stores only its digest."""
    from shared.key_requests import KeyRequest, ShareChange
    from stack import gateway_commands, key_commands

    share = ShareChange(weight, max_running_rows, max_jobs)
    request = KeyRequest(name, roles or (), models or (), expires_in, rate, rows_per_day, share)
    create = _either(data, key_commands.create_key, url, gateway_commands.create_key)
    create(request, as_json=as_json)


@keys.command("set")
@reports_errors
def set_share(
    owner: Annotated[str, typer.Argument(help="The owner's name, or the id of one of its keys.")],
    weight: Weight = None,
    max_running_rows: MaxRunningRows = None,
    max_jobs: MaxJobs = None,
    data: Data = DATA,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Change the weight and limits of an owner. Takes effect on every gateway within two seconds."""
    from shared.key_requests import ShareChange
    from stack import gateway_commands, key_commands

    change = ShareChange(weight, max_running_rows, max_jobs)
    _either(data, key_commands.set_share, url, gateway_commands.set_share)(owner, change, as_json=as_json)


@keys.command("list")
@reports_errors
def list_keys(data: Data = DATA, url: Url = None, as_json: AsJson = False) -> None:
    """List the API keys, without their secrets.

    The queue is the one in TAKT_REDIS_URL, else that of the local stack.
    """
    from stack import gateway_commands, key_commands

    _either(data, key_commands.show_keys, url, gateway_commands.show_keys)(as_json=as_json)


@keys.command("revoke")
@reports_errors
def revoke_keys(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Key ids, from `takt keys list`.")],
    data: Data = DATA,
    url: Url = None,
) -> None:
    """Revoke API keys. Takes effect on every gateway within two seconds."""
    from stack import gateway_commands, key_commands

    _either(data, key_commands.revoke_keys, url, gateway_commands.revoke_keys)(ids)


@dead_letters.command("list")
@reports_errors
def list_dead_letters(
    data: Data = DATA,
    url: Url = None,
    most: Annotated[int, typer.Option("--most", min=1, help="Largest number to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first.

    The queue is the one in TAKT_REDIS_URL, else that of the local stack.
    """
    from stack import dead_letter_commands, gateway_commands

    show = _either(data, dead_letter_commands.show_letters, url, gateway_commands.show_letters)
    show(most, as_json=as_json)


@dead_letters.command("show")
@reports_errors
def show_dead_letter(letter: str, data: Data = DATA, url: Url = None, as_json: AsJson = False) -> None:
    """Show a dead letter and the first bytes of its data."""
    from stack import dead_letter_commands, gateway_commands

    show = _either(data, dead_letter_commands.show_letter, url, gateway_commands.show_letter)
    show(letter, as_json=as_json)


@dead_letters.command("requeue")
@reports_errors
def requeue_dead_letters(letters: Letters, data: Data = DATA, url: Url = None) -> None:
    """Return entries, doorbells and chunks to their queues. Exits with 1 at the first that fails."""
    from stack import dead_letter_commands, gateway_commands

    _either(data, dead_letter_commands.requeue, url, gateway_commands.requeue)(letters)


@dead_letters.command("drop")
@reports_errors
def drop_dead_letters(letters: Letters, data: Data = DATA, url: Url = None) -> None:
    """Delete dead letters."""
    from stack import dead_letter_commands, gateway_commands

    _either(data, dead_letter_commands.drop, url, gateway_commands.drop)(letters)


@storage.command("show")
@reports_errors
def show_storage(url: GatewayUrl = _URL, as_json: AsJson = False) -> None:
    """Show the use of the payload store by owner, and orphaned objects."""
    from stack.gateway_commands import show_storage as show

    show(url, as_json=as_json)


@storage.command("clean")
@reports_errors
def clean_storage(
    older_than_h: Annotated[
        float, typer.Option("--older-than", metavar="HOURS", min=1, help="Least age of the removed objects.")
    ] = 24.0,
    url: GatewayUrl = _URL,
) -> None:
    """Remove objects of jobs that are not in the queue."""
    from stack.gateway_commands import clean_storage as clean

    clean(url, older_than_h * 3600)


@reports_errors
def settings(
    changed: Annotated[bool, typer.Option("--changed", help="Only settings that are not defaults.")] = False,
    url: GatewayUrl = _URL,
    as_json: AsJson = False,
) -> None:
    """Show the settings of a gateway; secrets are masked."""
    from stack.gateway_commands import show_settings

    show_settings(url, changed=changed, as_json=as_json)


@reports_errors
def versions(url: GatewayUrl = _URL, as_json: AsJson = False) -> None:
    """Show the versions of the gateway, the queue's server and the workers."""
    from stack.gateway_commands import show_versions

    show_versions(url, as_json=as_json)


def _either(
    data: Path,
    of_queue: Callable[Concatenate[Path, P], R],
    url: str | None,
    of_gateway: Callable[Concatenate[str, P], R],
) -> Callable[P, R]:
    """The command on the gateway if there is a URL, else on the queue."""
    return partial(of_gateway, url) if url else partial(of_queue, data)


def exit_unless(good: bool) -> None:
    if not good:
        raise typer.Exit(1)
