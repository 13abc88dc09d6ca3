"""Output files that are either complete or absent."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4


def prove_writable(path: str | Path) -> None:
    """Check that `whole` can write this file. An existing file is unchanged.

    Raises OSError if its folder is missing or not writable, or if the path is a folder.
    """
    target = Path(path)
    if target.is_dir() or str(path).endswith(("/", os.sep)):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    part = _part_of(target)
    try:
        part.open("xb").close()
    except OSError as error:
        raise OSError(
            error.errno, error.strerror, str(path)
        ) from error  # with the target's name, not the temporary file's
    part.unlink()


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Yields a temporary file beside `path`. It is renamed to `path` if the block succeeds."""
    part = _part_of(path)
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
