"""`takt models`: makes, lists, builds and verifies the models of a repository."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import typer

from shared.registry_events import name_of_registered
from shared.repository import Repository, open_repository
from shared.settings import environment
from shared.specs import ModelSpec
from stack.command_errors import CommandError
from stack.data_folder import Folder
from stack.model_building import Built, ModelProgram, Verified, build, verify
from stack.model_drafting import draft
from stack.plan import read_settings
from stack.service_logs import Log
from stack.up_output import show


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the repository."""

    model: str
    default_version: str
    built: list[str]
    framework: str
    device: str
    description: str


def show_models(models_dir: Path | None, *, as_json: bool) -> bool:
    """List declared models and built versions without loading a framework.

    Returns False if a spec is invalid.
    """
    repository = open_repository(read_settings({"models_dir": models_dir}).models_dir)
    declared = [_declared(repository, spec) for spec in repository.specs.values()]
    if as_json:
        for model in declared:
            typer.echo(msgspec.json.encode(model))
    else:
        columns = ("model", "default", "built", "framework", "device", "description")
        show(columns, [_row(model) for model in declared], empty=f"{repository.root} contains no model")
    for error in repository.wrong.values():
        typer.echo(f"invalid: {error}", err=True)
    return not repository.wrong


def _declared(repository: Repository, spec: ModelSpec) -> Declared:
    return Declared(
        model=spec.name,
        default_version=spec.default_version,
        built=repository.versions(spec.name),
        framework=spec.framework,
        device=spec.device,
        description=spec.description,
    )


def _row(model: Declared) -> list[str]:
    built = ", ".join(model.built) or "not built"
    return [model.model, model.default_version, built, model.framework, model.device, model.description]


def build_models(
    models_dir: Path | None, names: Sequence[str], options: Sequence[str], *, as_json: bool
) -> bool:
    """Build with the options of `python -m worker build`, printing each line.

    Returns False if a build failed.
    """
    repository, program = _opened(models_dir)
    return _show_lines(build(names or _all(repository), options, program), as_json=as_json)


def verify_models(models_dir: Path | None, names: Sequence[str], *, as_json: bool) -> bool:
    """Verify models, printing each line as it arrives. Returns False if a model failed."""
    repository, program = _opened(models_dir)
    return _show_lines(verify(names or _all(repository), program), as_json=as_json)


def new_model(models_dir: Path | None, name: str, options: Sequence[str], *, as_json: bool) -> bool:
    """Make a model with the options of `python -m worker new`, and print the next command.

    Returns False if it failed.
    """
    given = models_dir or read_settings({}).models_dir
    made = draft(name, options, _program(given.resolve()))
    if as_json:
        typer.echo(msgspec.json.encode(made))
        return made.ok
    typer.echo(f"{made.name}  {made.as_text()}")
    if made.ok:
        folder = f" --models-dir {models_dir}" if models_dir else ""
        typer.echo(f"next: takt up{folder} --models {name}")
    return made.ok


def pull_from_mlflow(
    uri: str, name: str | None, models_dir: Path, options: Sequence[str], *, as_json: bool
) -> bool:
    """Make a version from a model of MLflow, and print the next command. Returns False if it failed.

    Raises CommandError if the URI has no name that a model can have.
    """
    name = name or _name_in(uri)
    made = draft(name, ["--mlflow", uri, *options], _program(models_dir.resolve()))
    if as_json:
        typer.echo(msgspec.json.encode(made))
        return made.ok
    typer.echo(f"{made.name}  {made.as_text()}")
    if made.ok:
        typer.echo(f"next: takt models publish {Path(made.folder) / made.version}")
    return made.ok


def _name_in(uri: str) -> str:
    """The name of a registered model, as the name of a model of Takt."""
    registered = re.fullmatch(r"(?:mlflow|models):/{1,3}([^@/]+)[@/].*", uri)
    name = name_of_registered(registered[1]) if registered else ""
    if not name:
        raise CommandError(f"{uri} gives the model no name: add --name NAME")
    return name


def _show_lines(lines: Iterable[Built | Verified], *, as_json: bool) -> bool:
    good = True
    for line in lines:
        typer.echo(msgspec.json.encode(line) if as_json else f"{line.name}  {line.as_text()}")
        good &= line.ok
    return good


def _all(repository: Repository) -> list[str]:
    return sorted(repository.specs.keys() | repository.wrong.keys())


def _opened(models_dir: Path | None) -> tuple[Repository, ModelProgram]:
    """Returns the repository and the program that builds its models.

    Raises SpecError for a missing folder.
    """
    root = read_settings({"models_dir": models_dir}).models_dir.resolve()
    return open_repository(root), _program(root)


def _program(root: Path) -> ModelProgram:
    folder = Folder(Path(".takt").resolve())
    folder.make()
    settings = environment({"models_dir": str(root)})
    return ModelProgram(settings, Log(folder.logs / "models.log"), _show_output)


def _show_output(model: str, line: str) -> None:
    """Print output of a model's own code to stderr, because stdout may carry JSON lines."""
    typer.echo(f"{model or 'models'} | {line}", err=True)
