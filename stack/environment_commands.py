"""`takt models environments`: the environments of model versions on this machine, and removing the unused."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import typer

from shared.environments import LOCK, environment_name
from shared.errors import SpecError
from shared.integrity import digest_of
from stack.plan import read_settings
from stack.up_output import show

_ABANDONED_S = 3600
"""Age of an unfinished environment whose builder has surely ended."""


class BuiltEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of an environment. `versions`: the model versions whose lock names it."""

    environment: str
    size_bytes: int
    versions: tuple[str, ...]
    path: str
    removed: bool = False

    @property
    def is_unfinished(self) -> bool:
        """Whether a builder was ended before it had made it, or is making it now."""
        return self.environment.startswith(".")


def show_environments(models_dir: Path | None, *, clean: bool, as_json: bool) -> None:
    """List the environments; with `clean`, remove those that no version of the repository uses.

    Raises SpecError if the repository is missing, because then every environment would be unused.
    """
    settings = read_settings({"models_dir": models_dir})
    root = settings.environments_dir.absolute()
    if not settings.models_dir.is_dir():
        raise SpecError(f"{settings.models_dir}: there is no such folder (TAKT_MODELS_DIR)")
    found = list(environments_in(root, settings.models_dir))
    if clean:
        found = [_removed(one) if may_be_removed(one) else one for one in found]
    if as_json:
        for one in found:
            typer.echo(msgspec.json.encode(one))
        return
    columns = ("environment", "size", "used by")
    show(columns, [_row(one) for one in found], empty=f"{root} contains no environment")
    unused = [one for one in found if may_be_removed(one) and not one.removed]
    if unused:
        size = sum(one.size_bytes for one in unused)
        typer.echo(f"{len(unused)} unused, {_megabytes(size)}: takt models environments --clean")


def environments_in(root: Path, models_dir: Path) -> Iterator[BuiltEnvironment]:
    """The environments under `root`, with the versions in `models_dir` that use them."""
    users = _users(models_dir)
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_dir():
            yield BuiltEnvironment(
                environment=folder.name,
                size_bytes=sum(path.lstat().st_size for path in folder.rglob("*")),
                versions=tuple(users.get(folder.name, ())),
                path=str(folder),
            )


def may_be_removed(one: BuiltEnvironment) -> bool:
    """Whether nothing uses it. An unfinished one may still be made, unless it is old."""
    if one.removed or one.versions:
        return False
    return not one.is_unfinished or time.time() - Path(one.path).stat().st_mtime > _ABANDONED_S


def _users(models_dir: Path) -> dict[str, list[str]]:
    """Environment → the versions with its lock, also those of a model whose model.toml is invalid."""
    users: dict[str, list[str]] = {}
    for lock in sorted(models_dir.glob(f"*/*/{LOCK}")):
        name = environment_name(digest_of(lock.read_bytes()))
        users.setdefault(name, []).append(f"{lock.parents[1].name}@{lock.parent.name}")
    return users


def _removed(one: BuiltEnvironment) -> BuiltEnvironment:
    shutil.rmtree(one.path)
    return msgspec.structs.replace(one, removed=True)


def _row(one: BuiltEnvironment) -> list[str]:
    if one.removed:
        state = "removed"
    elif one.versions:
        state = ", ".join(one.versions)
    else:
        state = "unfinished" if one.is_unfinished else "unused"
    return [one.environment, _megabytes(one.size_bytes), state]


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"
