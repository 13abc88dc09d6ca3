"""Rows on the command line: JSON text, a JSON file, or standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from takt.bodies import InputRow
    from takt.records import Json


def is_json_text(source: str) -> bool:
    """Whether an argument is JSON text, not a path."""
    return source.lstrip().startswith(("{", "["))


def read_inputs(source: str) -> Json | bytes | list[InputRow]:
    """Read a row with field names, or a list of rows, from JSON text, a JSON file or standard input (`-`);
    or an image from a JPEG or PNG file.

    A row without names becomes a list with a single row. Raises typer.BadParameter.
    """
    if source != "-" and not is_json_text(source) and (image := _image(source)) is not None:
        return image
    text = _text(source)
    try:
        document: Any = json.loads(text)  # Any: checked below
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}") from error
    match document:
        case dict() as row:
            return dict(row)
        case [list() | dict(), *_] as rows:
            return list(rows)
        case [_, *_] as row_without_names:
            return [list(row_without_names)]
        case _:
            raise typer.BadParameter("expected a row or a list of rows")


def _image(source: str) -> bytes | None:
    """The content of an image file; None: the file is no image or cannot be read."""
    from takt.bodies import IMAGE_TYPES

    try:
        content = Path(source).read_bytes()
    except OSError:
        return None
    return content if content.startswith(tuple(IMAGE_TYPES)) else None


def _text(source: str) -> str:
    if source == "-":
        if sys.stdin.isatty():
            raise typer.BadParameter("no rows: give JSON text or a file, or pipe rows to stdin")
        return sys.stdin.read()
    if is_json_text(source):
        return source
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{source}: {getattr(error, 'strerror', None) or error}") from error
