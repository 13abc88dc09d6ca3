"""The archive of a version: a tar file, plain or compressed with gzip or zstd.

Nothing in an archive is trusted: it has only regular files with plain relative names, each once, of a limited
total size. Links, devices and every other kind of entry are refused, whatever they refer to.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from shared.errors import InvalidInputError, PayloadTooLargeError
from shared.manifests import is_file_of_version
from shared.safe_texts import named
from shared.tabular.content_types import Packing
from shared.tabular.decompression import Meter, unpacked

MEDIA_TYPE = "application/x-tar"
BLOCK_BYTES = tarfile.BLOCKSIZE
MOST_FILES = 10_000
_MOST_NAME_CHARS = 512
_MOST_HEADER_BYTES = 2**20
"""Longest read of tarfile: contents are read in pieces, and longer extended headers are refused."""
_HEAD_BYTES = 4
_PACKINGS = {b"\x1f\x8b": Packing.GZIP, b"\x28\xb5\x2f\xfd": Packing.ZSTD}
_OVERHEAD_BYTES = 2 * 2**20


def most_archive_bytes(most_bytes: int) -> int:
    """The largest archive of files of `most_bytes`: with headers and padding."""
    return most_bytes + MOST_FILES * 3 * BLOCK_BYTES + _OVERHEAD_BYTES


def unpack_archive(archive: Path, folder: Path, most_bytes: int) -> None:
    """Write the files of an archive into an empty folder.

    Raises InvalidInputError with the entry and the reason, PayloadTooLargeError.
    """
    plain = _plain(archive, most_archive_bytes(most_bytes))
    try:
        with plain.open("rb") as file, tarfile.open(fileobj=_Bounded(file), mode="r:") as entries:
            _write_entries(entries, folder, most_bytes)
    except tarfile.TarError as error:
        raise InvalidInputError(f"The body is not a tar archive: {error}.") from None
    except (UnicodeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"The tar archive is damaged: {error}.") from None


class _Bounded(io.RawIOBase):
    """A file that refuses long reads: an extended header could otherwise fill the memory."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_HEADER_BYTES:
            raise InvalidInputError("The tar archive has an extended header that is too long.")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _plain(archive: Path, most_bytes: int) -> Path:
    """The archive without compression. Raises InvalidInputError, PayloadTooLargeError."""
    with archive.open("rb") as packed:
        head = packed.read(_HEAD_BYTES)
        packing = next((kind for magic, kind in _PACKINGS.items() if head.startswith(magic)), None)
        if packing is None:
            return archive
        packed.seek(0)
        plain = archive.with_suffix(".tar")
        try:
            source = Meter(unpacked(packed, packing), most_bytes, digested=False)
            with plain.open("xb") as file:
                while piece := source.read(2**20):
                    file.write(piece)
        except OSError as error:
            if error.errno is not None:  # of the disk, not of the decompressor
                raise
            raise InvalidInputError(f"The body is damaged {packing}: {error}.") from None
        archive.unlink()
        return plain


def _write_entries(entries: tarfile.TarFile, folder: Path, most_bytes: int) -> None:
    seen: set[str] = set()
    left_bytes = most_bytes
    for entry in entries:
        name = _checked_name(entry.name)
        if entry.isdir() or not is_file_of_version(name):
            continue
        if not entry.isreg() or entry.issparse():
            raise InvalidInputError(f"{named(name)} in the archive is {_kind(entry)}: send only files.")
        if name in seen:
            raise InvalidInputError(f"{named(name)} is in the archive twice.")
        seen.add(name)
        left_bytes -= entry.size
        if left_bytes < 0:
            raise PayloadTooLargeError(f"The files of the version are larger than {most_bytes} bytes.")
        if len(seen) > MOST_FILES:
            raise PayloadTooLargeError(f"The archive has more than {MOST_FILES} files.")
        _write_file(entries, entry, name, folder / name)


def _write_file(entries: tarfile.TarFile, entry: tarfile.TarInfo, name: str, target: Path) -> None:
    content = entries.extractfile(entry)
    assert content is not None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            shutil.copyfileobj(content, file, 2**18)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InvalidInputError(f"{named(name)} in the archive is a file and a folder.") from None
    if target.stat().st_size != entry.size:
        raise InvalidInputError(f"The tar archive is cut off in {named(name)}.")


def _checked_name(name: str) -> str:
    """Raises InvalidInputError for a name that is not a plain relative path."""
    parts = PurePosixPath(name).parts
    is_plain = name.isprintable() and "\\" not in name and len(name) <= _MOST_NAME_CHARS
    if not is_plain or name.startswith("/") or ".." in parts or (parts and ":" in parts[0]):
        raise InvalidInputError(
            f"{named(name)} in the archive is not a path inside the version's folder: use relative names."
        )
    return "/".join(parts)


def _kind(entry: tarfile.TarInfo) -> str:
    if entry.issym() or entry.islnk():
        return "a link"
    return "a sparse file" if entry.issparse() else "a device or another special file"


def entry_head(name: str, size_bytes: int) -> bytes:
    """The header of a file in an archive."""
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mode = 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def padding_of(size_bytes: int) -> bytes:
    """The padding after the content of a file in an archive."""
    return bytes(-size_bytes % BLOCK_BYTES)


ARCHIVE_END = bytes(2 * BLOCK_BYTES)


def archive_bytes(files: Iterator[tuple[str, int]]) -> int:
    """The size of an archive of files, by name and size."""
    sizes = (len(entry_head(name, size)) + size + len(padding_of(size)) for name, size in files)
    return sum(sizes) + len(ARCHIVE_END)
