"""`takt models`: the versions of models in the store of a service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from takt.commands.terminal import (
    DEFAULT_URL,
    AsJson,
    Exit,
    Url,
    as_json,
    megabytes,
    print_error,
    print_note,
    reports_errors,
)

if TYPE_CHECKING:
    from takt.records import Json

PUBLISH_LIMIT_S = 600.0
"""Time in which the service reads and checks an archive, and answers."""
_SHOWN_DIGITS = 12

models = typer.Typer(no_args_is_help=True, help="Models: publish, pull, list, verify, delete.")

Key = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The version.")]
Folder = Annotated[Path, typer.Option("--models-dir", help="The folder of models on this machine.")]
_MODELS = Path("models")


@models.command("publish")
@reports_errors
def publish(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME@VERSION|FOLDER", help="A built version in the folder of models, or any folder."
        ),
    ],
    version: Annotated[str | None, typer.Option(help="The version. (default: that of the folder)")] = None,
    models_dir: Folder = _MODELS,
    url: Url = DEFAULT_URL,
    as_document: AsJson = False,
) -> None:
    """Add a version to the store of the service, after a worker has verified it. Nothing is served by that.

    A folder holds a version with its manifest.json, or model.toml with the trained file.
    """
    from takt.client import Takt
    from takt.commands.progress_bar import Bars
    from takt.version_files import archive_body, version_in

    folder, number = _folder_of(source, version, models_dir)
    size_bytes = archive_body(version_in(folder, version=number)).length_bytes
    with Takt(url, timeout_s=PUBLISH_LIMIT_S) as takt, Bars() as bars:
        found = takt.publish(folder, version=number, on_sent=bars.sending(size_bytes))
    typer.echo(as_json(found) if as_document else _line_of(found))
    print_note(f"serve it: takt deploy {found['model']} {found['version']} --canary 10")


@models.command("pull")
@reports_errors
def pull(
    key: Key,
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder of models to write to.")] = _MODELS,
    url: Url = DEFAULT_URL,
) -> None:
    """Write the files of a version to DIR/NAME/VERSION."""
    from takt.client import Takt

    name, version = parts_of(key)
    with Takt(url, timeout_s=PUBLISH_LIMIT_S) as takt:
        typer.echo(takt.pull(name, version, to / name / version))


@models.command("list")
@reports_errors
def list_models(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Its versions.")] = None,
    url: Url = DEFAULT_URL,
    as_document: AsJson = False,
) -> None:
    """List the models of the service, or the versions of one."""
    show_models(model, url, as_document=as_document)


def show_models(model: str | None, url: str, *, as_document: bool) -> None:
    """Print the models of a service, or the versions of one."""
    from takt.client import Takt

    with Takt(url) as takt:
        if model is not None:
            found = takt.versions(model)
            lines = [_line_of(one) for one in found["versions"]]
        else:
            found = {"models": [one.name for one in takt.models()]}
            lines = found["models"]
    if as_document:
        typer.echo(as_json(found))
        return
    for line in lines:
        typer.echo(line)


@models.command("verify")
@reports_errors
def verify(key: Key, url: Url = DEFAULT_URL, as_document: AsJson = False) -> None:
    """Have a worker check the digests of a stored version, load it and run its golden rows."""
    verify_stored(key, url, as_document=as_document)


def verify_stored(key: str, url: str, *, as_document: bool) -> None:
    """Print what a worker finds. Ends the program with 1 if the version does not verify."""
    from takt.client import Takt

    name, version = parts_of(key)
    with Takt(url, timeout_s=PUBLISH_LIMIT_S) as takt:
        found = takt.verify_version(name, version)
    if as_document:
        typer.echo(as_json(found))
    elif found["ok"]:
        typer.echo(f"{key}  ok  {found['rows_per_s']:,.0f} rows/s")
    if not found["ok"]:
        print_error(f"{key}: {found['problem']}")
        raise typer.Exit(Exit.REFUSED)


@models.command("delete")
@reports_errors
def delete(key: Key, url: Url = DEFAULT_URL) -> None:
    """Remove a version from the store, if it is not deployed and no unfinished job needs it."""
    from takt.client import Takt

    with Takt(url) as takt:
        takt.delete_version(*parts_of(key))
    typer.echo(f"{key}  deleted")


def parts_of(key: str) -> tuple[str, str]:
    """The name and the version. Raises ValueError."""
    name, at, version = key.partition("@")
    if not name or not at or not version:
        raise ValueError(f"{key!r} is not NAME@VERSION, such as iris@1.1.0")
    return name, version


def _folder_of(source: str, version: str | None, models_dir: Path) -> tuple[Path, str | None]:
    """The folder that is meant, and the version."""
    if "@" in source and not Path(source).exists():
        name, number = parts_of(source)
        home = models_dir / name
        return (home / number if (home / number).is_dir() else home), number
    return Path(source), version


def _line_of(found: Json) -> str:
    digest = f"sha256 {found['sha256'][:_SHOWN_DIGITS]}…" if found["sha256"] else found["reason"]
    by = f"  by {found['published_by']} at {found['published_at']}" if found["published_at"] else ""
    deployed = "  deployed" if found["deployed"] else ""
    size = megabytes(found["size_bytes"])
    return f"{found['model']}@{found['version']}  {found['state']}{deployed}  {size}  {digest}{by}"
