"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4


def prove_writable(path: str | Path) -> None:
    """Raises OSError if `whole` could not write this file: its folder is missing or not writable, or it is
    a folder itself. A file that is there stays as it is."""
    target = Path(path)
    if target.is_dir() or str(path).endswith(("/", os.sep)):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    part = _part_of(target)
    try:
        part.open("xb").close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # not the temporary file's name
    part.unlink()


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file beside `path` that takes its name once the block has ended well."""
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
