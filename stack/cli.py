"""The operator's commands of the `takt` program: arguments, options and help.

They join the client's program through the entry points `takt.commands`. Each command imports its module when
it runs, so that `takt --help` is fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stack.command_errors import reports_errors

Data = Annotated[Path, typer.Option("--data", help="The stack's data folder: queue, payloads, logs.")]
ModelsDir = Annotated[
    Path | None, typer.Option("--models-dir", help="The model repository. (default: models)")
]
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME[@VERSION]]...", help="Models, by default in their default version. (default: all)"
    ),
]
Letters = Annotated[
    list[str], typer.Argument(metavar="ID...", help="Dead letter ids, from `takt dead-letters list`.")
]
Workers = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Worker ids or names.")]
AllWorkers = Annotated[bool, typer.Option("--all", help="All workers that send a heartbeat.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document per line.")]

_DATA = Path(".takt")

models = typer.Typer(no_args_is_help=True, help="The model repository: new, list, build, verify.")
workers = typer.Typer(no_args_is_help=True, help="Live workers: list, drain, undrain.")
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

keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, change limits, revoke.")
dead_letters = typer.Typer(no_args_is_help=True, help="Unreadable messages and abandoned chunks.")


@reports_errors
def up(
    port: Annotated[
        int | None, typer.Option(help="The gateway's port; 0: any free port. (default: 8000)")
    ] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on. (default: 127.0.0.1)")] = None,
    gateways: Annotated[
        int | None,
        typer.Option(min=1, help="Gateway processes on the port. (default: cores / 4)"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes. (default: the cores that the gateways leave)")
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Models to serve, comma-separated. (default: all)")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, or a GPU: cuda:N. (default: cpu)")] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="Use an existing queue. Also TAKT_REDIS_URL. (default: embedded)")
    ] = None,
    access: Annotated[
        str | None,
        typer.Option(
            help="keys: require an API key; open: no key. (default: open on localhost, keys elsewhere)"
        ),
    ] = None,
    models_dir: ModelsDir = None,
    data: Data = _DATA,
) -> None:
    """Start the queue, the gateways and the workers on this machine. Ctrl-C stops them."""
    from stack.plan import make_plan
    from stack.up import up as run
    from stack.up_output import Output

    given = {
        "port": port,
        "host": host,
        "gateways": gateways,
        "models": models,
        "device": device,
        "redis_url": redis_url,
        "access": access,
        "models_dir": models_dir,
    }
    raise typer.Exit(run(make_plan(data, workers, given), Output()))


@reports_errors
def doctor(
    data: Data = _DATA,
    port: Annotated[int | None, typer.Option(help="The port that must be free. (default: 8000)")] = None,
    models_dir: ModelsDir = None,
    url: Annotated[
        str,
        typer.Option(
            envvar="TAKT_URL",
            help="A gateway whose conditions are checked too. (default: that of the running stack)",
        ),
    ] = "",
    api_key: Annotated[
        str,
        typer.Option(envvar="TAKT_API_KEY", help="API key with the role read. Prefer TAKT_API_KEY."),
    ] = "",
) -> None:
    """Check this installation and the running service, and print a fix for each problem. Exits with 1 if a
    check fails."""
    from stack.doctor import examine

    _exit_unless(examine(data, {"port": port, "models_dir": models_dir}, url=url, api_key=api_key))


@models.command("list")
@reports_errors
def list_models(models_dir: ModelsDir = None, as_json: AsJson = False) -> None:
    """List the declared models and their built versions. Exits with 1 if a spec is invalid."""
    from stack.model_commands import show_models

    _exit_unless(show_models(models_dir, as_json=as_json))


@models.command("new")
@reports_errors
def new_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model's name, part of its URL.")],
    source: Annotated[
        Path,
        typer.Option(
            "--from", metavar="FILE", help="The trained file or folder. A pickle runs the code in it."
        ),
    ],
    sample: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="CSV, Parquet or NDJSON with rows as in training."),
    ] = None,
    version: Annotated[str, typer.Option(help="The version to make.")] = "1.0.0",
    inputs: Annotated[
        str | None,
        typer.Option(
            help="Names of the inputs in the order of training, comma-separated. (default: recorded)"
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names of the classes, comma-separated, in the model's order.")
    ] = None,
    code: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.py", help="A module that the trained file refers to; repeatable."),
    ] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE", help="A type that a file of skops may contain; repeatable."),
    ] = None,
    requirement: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PACKAGE",
            help="A package of an environment of its own, such as scikit-learn==1.5.2; repeatable.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model of this name.")] = False,
    models_dir: ModelsDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a model from a trained file: model.toml, a version and golden rows. Exits with 1 if that fails."""
    from stack.model_commands import new_model as new

    given = {
        "--from": source,
        "--sample": sample,
        "--version": version,
        "--inputs": inputs,
        "--classes": classes,
    }
    options = [word for flag, value in given.items() if value for word in (flag, str(value))]
    options += [word for path in code or [] for word in ("--code", str(path))]
    options += [word for kind in trust or [] for word in ("--trust", kind)]
    options += [word for package in requirement or [] for word in ("--requirement", package)]
    _exit_unless(new(models_dir, name, [*options, *(["--force"] if force else [])], as_json=as_json))


@models.command("build")
@reports_errors
def build_models(
    names: Names = None,
    force: Annotated[bool, typer.Option("--force", help="Rebuild versions that are built.")] = False,
    version: Annotated[str | None, typer.Option(help="Build this version. (default: the spec's)")] = None,
    models_dir: ModelsDir = None,
    as_json: AsJson = False,
) -> None:
    """Train models and write their artifacts. Exits with 1 if a build fails."""
    from stack.model_commands import build_models as build

    options = [*(["--force"] if force else []), *(["--version", version] if version else [])]
    _exit_unless(build(models_dir, names or [], options, as_json=as_json))


@models.command("verify")
@reports_errors
def verify_models(names: Names = None, models_dir: ModelsDir = None, as_json: AsJson = False) -> None:
    """Check digests, load each model and run its golden rows. Exits with 1 if a model fails."""
    from stack.model_commands import verify_models as verify

    _exit_unless(verify(models_dir, names or [], as_json=as_json))


@workers.callback()
def _workers() -> None:
    """Live workers: list, drain, undrain."""


@workers.command("list")
@reports_errors
def list_workers(data: Data = _DATA, as_json: AsJson = False) -> None:
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
    data: Data = _DATA,
) -> None:
    """Drain workers: they accept no work, finish online batches, return chunks, and stay idle.

    The drain lasts until `takt workers undrain` or until the worker exits. A restarted worker accepts work.
    """
    from stack.worker_commands import drain_workers as drain

    _exit_unless(drain(data, names or [], everyone=everyone, wait=wait, limit_s=limit_s))


@workers.command("undrain")
@reports_errors
def undrain_workers(names: Workers = None, everyone: AllWorkers = False, data: Data = _DATA) -> None:
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
    data: Data = _DATA,
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
    data: Data = _DATA,
    as_json: AsJson = False,
) -> None:
    """Change the weight and limits of an owner. Takes effect on every gateway within two seconds."""
    from stack.key_commands import set_share
    from stack.key_shares import ShareChange

    set_share(data, owner, ShareChange(weight, max_running_rows, max_jobs), as_json=as_json)


@keys.command("list")
@reports_errors
def list_keys(data: Data = _DATA, as_json: AsJson = False) -> None:
    """List the API keys, without their secrets.

    The queue is the one in TAKT_REDIS_URL, else that of the local stack.
    """
    from stack.key_commands import show_keys

    show_keys(data, as_json=as_json)


@keys.command("revoke")
@reports_errors
def revoke_keys(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Key ids, from `takt keys list`.")],
    data: Data = _DATA,
) -> None:
    """Revoke API keys. Takes effect on every gateway within two seconds."""
    from stack.key_commands import revoke_keys

    revoke_keys(data, ids)


@dead_letters.command("list")
@reports_errors
def list_dead_letters(
    data: Data = _DATA,
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
def show_dead_letter(letter: str, data: Data = _DATA, as_json: AsJson = False) -> None:
    """Show a dead letter and the first bytes of its data."""
    from stack.dead_letter_commands import show_letter

    show_letter(data, letter, as_json=as_json)


@dead_letters.command("requeue")
@reports_errors
def requeue_dead_letters(letters: Letters, data: Data = _DATA) -> None:
    """Return entries, doorbells and chunks to their queues. Exits with 1 at the first that fails."""
    from stack.dead_letter_commands import requeue

    requeue(data, letters)


@dead_letters.command("drop")
@reports_errors
def drop_dead_letters(letters: Letters, data: Data = _DATA) -> None:
    """Delete dead letters."""
    from stack.dead_letter_commands import drop

    drop(data, letters)


def _exit_unless(good: bool) -> None:
    if not good:
        raise typer.Exit(1)
