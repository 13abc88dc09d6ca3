"""Reads model.toml files: of a model, and the frozen ones of its versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from weakref import WeakValueDictionary

from pydantic import ValidationError

from shared.errors import SpecError
from shared.images import with_image_files
from shared.specs import VERSION, ModelSpec

SPEC = "model.toml"


def load_spec(path: Path) -> ModelSpec:
    """Read a model.toml, which lies in the folder of its model or of one version.

    A file that has not changed is read once, as long as its spec is in use. Raises SpecError with the file,
    the key and the reason.
    """
    try:
        written = path.stat()
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    state = (path, written.st_mtime_ns, written.st_size, written.st_ino)
    if (known := _read.get(state)) is None:
        known = _read[state] = _read_spec(path)
    return known


_read: WeakValueDictionary[tuple[Path, int, int, int], ModelSpec] = WeakValueDictionary()


def _read_spec(path: Path) -> ModelSpec:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: is not TOML: {error}") from error
    try:
        document = with_image_files(document, path.parent)
    except ValueError as error:
        raise SpecError(f"{path}: {error}") from error
    try:
        spec = ModelSpec.model_validate(document)
    except ValidationError as error:
        table = str(document.get("framework"))
        problems = [f"{path}: {_where(e['loc'], table)}{_why(e['msg'])}" for e in error.errors()]
        raise SpecError("\n".join(problems)) from error
    home = path.parent.parent if re.fullmatch(VERSION, path.parent.name) else path.parent
    if spec.name != home.name:
        raise SpecError(f"{path}: name: is {spec.name!r}, but the folder is {home.name!r}")
    return spec


def _where(location: tuple[int | str, ...], table: str) -> str:
    """The key of a problem; `options` is the framework's table."""
    if location[:1] == ("options",):
        location = (table, *location[1:])
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    return f"{key}: " if key else ""


def _why(message: str) -> str:
    return re.sub(r"^Value error, ", "", message)
