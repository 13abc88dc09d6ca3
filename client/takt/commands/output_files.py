"""Output of results: to a file in the format of its extension, or to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from takt.formats import file_format

if TYPE_CHECKING:
    from takt.client import Takt


def _known(output: str | None) -> str | None:
    """Reject an unknown extension before anything is sent."""
    if output is not None and output != "-":
        try:
            file_format(output, None)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return output


Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        callback=_known,
        help="File for the results, in the format of its extension; -: stdout.",
    ),
]


def check_output(output: str | None) -> None:
    """Raises OSError if the file cannot be written. Called before a job that may take hours is sent."""
    from takt.atomic_files import prove_writable

    if output is not None and output != "-":
        prove_writable(output)


def fetch(takt: Takt, job_id: str, output: str, *, partial: bool = False) -> int:
    """Write a job's results to a file or standard output. Returns the number of bytes."""
    from takt.formats import Format

    if output == "-":
        return pour(takt.stream(job_id, Format.NDJSON, partial=partial))
    return takt.download(job_id, output, partial=partial)


def pour(pieces: Iterable[bytes]) -> int:
    """Write bytes to standard output. Returns their number."""
    written = sum(sys.stdout.buffer.write(piece) for piece in pieces)
    sys.stdout.buffer.flush()
    return written


def save(pieces: Iterable[bytes], path: Path) -> int:
    """Write bytes to a file, which is complete or absent. Returns their number."""
    from takt.atomic_files import whole

    with whole(path) as file:
        return sum(file.write(piece) for piece in pieces)
