"""Archives of model versions for tests, as clients send them."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.model_folders import write_model


def archive_of(files: Mapping[str, bytes], *more: tarfile.TarInfo) -> bytes:
    """A tar archive with these files, and further entries without content."""
    with io.BytesIO() as sink:
        with tarfile.open(fileobj=sink, mode="w") as entries:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                entries.addfile(info, io.BytesIO(content))
            for info in more:
                entries.addfile(info)
        return sink.getvalue()


def version_files(root: Path, name: str, version: str = "1.0.0", **options: Any) -> dict[str, bytes]:
    """The files of y = 2x, or of an artifact that fails as `unpickles` names, with its declaration."""
    folder = write_model(root, name, version, **options)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found | {"model.toml": (root / name / "model.toml").read_bytes()}


def version_archive(root: Path, name: str, version: str = "1.0.0", **options: Any) -> bytes:
    return archive_of(version_files(root, name, version, **options))


def packed(archive: bytes) -> bytes:
    return gzip.compress(archive, mtime=0)
