"""The operator's commands of the `takt` program: arguments, options and help.

They join the client's program through the entry points `takt.commands`. Each command imports its module when
it runs, so that `takt --help` is fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stack.command_errors import reports_errors
from stack.operator_cli import (
    DATA,
    AsJson,
    Data,
    dead_letters,
    exit_unless,
    keys,
    settings,
    storage,
    versions,
    workers,
)
from takt.commands.terminal import DEFAULT_URL

__all__ = ["dead_letters", "doctor", "keys", "models", "settings", "storage", "up", "versions", "workers"]

ModelsDir = Annotated[
    Path | None, typer.Option("--models-dir", help="The model repository. (default: models)")
]
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME[@VERSION]]...", help="Models, by default in their default version. (default: all)"
    ),
]
ServiceUrl = Annotated[
    str | None, typer.Option("--url", help="URL of a service. (default: the models of this machine)")
]

models = typer.Typer(no_args_is_help=True, help="Models: new, build, publish, pull, verify, …, environments.")


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
    data: Data = DATA,
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
    data: Data = DATA,
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

    exit_unless(examine(data, {"port": port, "models_dir": models_dir}, url=url, api_key=api_key))


@models.command("list")
@reports_errors
def list_models(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="With --url: list the versions of this model.")
    ] = None,
    url: ServiceUrl = None,
    models_dir: ModelsDir = None,
    as_json: AsJson = False,
) -> None:
    """List the declared models and their built versions, or with --url those of a service.

    Exits with 1 if a spec is invalid.
    """
    from stack.model_commands import show_models
    from takt.commands import models as of_service

    if url is not None or model is not None:
        of_service.list_models(model, url or DEFAULT_URL, as_document=as_json)
        return
    exit_unless(show_models(models_dir, as_json=as_json))


@models.command("new")
@reports_errors
def new_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model's name, part of its URL.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="The trained file or folder. A pickle runs the code in it."
        ),
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="CSV, Parquet or NDJSON with rows as in training, or images. A table without --from makes a "
            "Python model.",
        ),
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
    exit_unless(new(models_dir, name, [*options, *(["--force"] if force else [])], as_json=as_json))


@models.command("pull")
@reports_errors
def pull_model(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME@VERSION|mlflow:/NAME@ALIAS",
            help="A version of a service; or a model of MLflow, also mlflow:/NAME/3 and runs:/RUN/PATH.",
        ),
    ],
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder of models to write to.")] = Path(
        "models"
    ),
    name: Annotated[str | None, typer.Option(help="Name for a model of MLflow. (default: its own)")] = None,
    version: Annotated[
        str | None, typer.Option(help="Version for a model of MLflow. (default: its number, as 3.0.0)")
    ] = None,
    sample: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="For a model of MLflow: rows as in training.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="For a model of MLflow: replace the version.")
    ] = False,
    url: Annotated[str, typer.Option("--url", envvar="TAKT_URL", help="URL of the service.")] = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Write a version to DIR/NAME/VERSION: from a service, or from MLflow (MLFLOW_TRACKING_URI)."""
    from stack.model_commands import pull_from_mlflow
    from takt.commands import models as of_service

    if ":/" not in source:
        of_service.pull(source, to, url)
        return
    options = ["--version", version or "", *(["--sample", str(sample)] if sample else [])]
    options += ["--force"] if force else []
    exit_unless(pull_from_mlflow(source, name, to, options, as_json=as_json))


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
    exit_unless(build(models_dir, names or [], options, as_json=as_json))


@models.command("verify")
@reports_errors
def verify_models(
    names: Names = None, url: ServiceUrl = None, models_dir: ModelsDir = None, as_json: AsJson = False
) -> None:
    """Check digests, load each model and run its golden rows; with --url, by a worker of a service.

    Exits with 1 if a model fails.
    """
    from stack.model_commands import verify_models as verify
    from takt.commands import models as of_service

    if url is not None:
        for name in names or []:
            of_service.verify(name, url, as_document=as_json)
        return
    exit_unless(verify(models_dir, names or [], as_json=as_json))


@models.command("environments")
@reports_errors
def list_environments(
    clean: Annotated[bool, typer.Option("--clean", help="Remove environments that no version uses.")] = False,
    models_dir: ModelsDir = None,
    as_json: AsJson = False,
) -> None:
    """List the environments of versions on this machine, with their size and the versions that use them."""
    from stack.environment_commands import show_environments

    show_environments(models_dir, clean=clean, as_json=as_json)
