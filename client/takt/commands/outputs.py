"""Where results go: a file in the format of its ending, or standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from takt.following import file_format

if TYPE_CHECKING:
    from takt.client import Takt


def _known(output: str | None) -> str | None:
    """Wrong usage is told before anything is sent."""
    if output is not None and output != "-":
        try:
            file_format(output, None)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return output


Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="OUT", callback=_known, help="A file, by its ending; - for stdout."
    ),
]


def check_output(output: str | None) -> None:
    """Raises OSError if the file could not be written: called before a job that takes hours is sent."""
    from takt.files import prove_writable

    if output is not None and output != "-":
        prove_writable(output)


def fetch(takt: Takt, job_id: str, output: str, *, partial: bool = False) -> int:
    """Write a job's results where they belong. → their bytes"""
    from takt.formats import Format

    if output == "-":
        return pour(takt.stream(job_id, Format.NDJSON, partial=partial))
    return takt.download(job_id, output, partial=partial)


def pour(pieces: Iterable[bytes]) -> int:
    """Write bytes to standard output. → how many"""
    written = sum(sys.stdout.buffer.write(piece) for piece in pieces)
    sys.stdout.buffer.flush()
    return written


def save(pieces: Iterable[bytes], path: Path) -> int:
    """Write bytes to a file that is there whole or not at all. → how many"""
    from takt.files import whole

    with whole(path) as file:
        return sum(file.write(piece) for piece in pieces)
