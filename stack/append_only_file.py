"""Repair of the embedded server's append-only file after a power cut: an incomplete tail is cut off.

A power cut may lose the end of the file. The file then ends within a command, or in zeros if the file system
had allocated space and not yet written it; the server does not start on zeros. Such a tail was never synced,
so it contains nothing that was acknowledged as durable. Damage before the tail is not repaired.

    appendonlydir/appendonly.aof.manifest        lines of `file NAME seq N type b|i|h`
    appendonlydir/appendonly.aof.1.base.rdb      the base, synced before the manifest names it
    appendonlydir/appendonly.aof.2.incr.aof      commands since then: RESP arrays, and comments (#TS:…)
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stack.command_errors import CommandError

FOLDER = "appendonlydir"
_LINE_END = b"\r\n"
_LARGE_BYTES = 16 * 2**20
_LONGEST_HEAD_BYTES = 32
"""Maximum length of `*N` or `$N` with its line end."""
_LONGEST_COMMENT_BYTES = 1024
_NEXT = re.compile(rb"\r\n\*\d{1,9}\r\n\$\d{1,9}\r\n")
"""The end of a command and the beginning of the next."""


@dataclass(frozen=True)
class Cut:
    """A file with a tail that is to be cut off: an incomplete command, or everything after a lost command."""

    path: Path
    keep_bytes: int
    cut_bytes: int

    def __str__(self) -> str:
        return f"{self.path.name}: {self.cut_bytes} bytes from offset {self.keep_bytes}"


class _BrokenError(Exception):
    """A command is incomplete."""

    def __init__(self, start: int, at: int) -> None:
        self.start = start
        """Offset of the command."""
        self.at = at
        """Offset of its first wrong byte, or the end of the file."""


@dataclass(frozen=True)
class Whole:
    """Size of the complete commands and transactions, and the first incomplete command, if any."""

    size_bytes: int
    broken: _BrokenError | None


def torn_tails(data: Path) -> list[Cut]:
    """Returns the tails to cut off before the server can start. Raises CommandError if a file is damaged."""
    paths = _increments(data)
    if len(paths) == 1 and _ends_whole(paths[0]):
        return []
    cuts: list[Cut] = []
    for path in paths:
        if cuts:  # commands after a lost command must not be kept
            cuts += [Cut(path, 0, path.stat().st_size)] if path.stat().st_size else []
        elif (cut := _torn(path)) is not None:
            cuts.append(cut)
    return cuts


def cut_off(data: Path, cuts: Sequence[Cut], now: datetime) -> Path:
    """Cut the tails off. Returns the folder with the original files."""
    aside = data / f"{FOLDER}.torn-{now:%Y%m%dT%H%M%S}"
    aside.mkdir(exist_ok=True)
    for cut in cuts:
        os.link(cut.path, aside / cut.path.name)
        _shorten(cut)
    for folder in (aside, data / FOLDER, data):
        _sync(folder)
    return aside


def _shorten(cut: Cut) -> None:
    """Replace the file by a shorter copy. The original is unchanged under its other name."""
    copy = cut.path.with_name(f"temp-{cut.path.name}")
    with cut.path.open("rb") as source, copy.open("wb") as target:
        left_bytes = cut.keep_bytes
        while left_bytes and (block := source.read(min(left_bytes, 2**20))):
            target.write(block)
            left_bytes -= len(block)
        target.flush()
        os.fsync(target.fileno())
    copy.replace(cut.path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _increments(data: Path) -> list[Path]:
    """Returns the files of commands in order; none if the manifest is missing or unreadable."""
    try:
        manifest = (data / FOLDER / "appendonly.aof.manifest").read_text()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return []
    found = re.findall(r"^file (\S+) seq (\d+) type i\b", manifest, re.MULTILINE)
    paths = [data / FOLDER / name for name, _ in sorted(found, key=lambda named: int(named[1]))]
    return [path for path in paths if path.is_file()]


def _ends_whole(path: Path) -> bool:
    """Whether a large file ends with a line end. Reading all of it would delay each start.

    If its last command is incomplete nevertheless, the server itself truncates it.
    """
    with path.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        if size_bytes < _LARGE_BYTES:
            return False
        file.seek(size_bytes - len(_LINE_END))
        return file.read() == _LINE_END


def _torn(path: Path) -> Cut | None:
    """Returns the incomplete tail, if any. Raises CommandError if the file is damaged before its tail."""
    size_bytes = path.stat().st_size
    if not size_bytes:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        whole = whole_commands(text)
        if whole.broken is not None and not _is_tail(text, whole.broken):
            raise CommandError(
                f"{path} is damaged at offset {whole.broken.start}, and not only at its end. Restore the "
                f"folder {path.parent} from a backup. To continue without the data after this offset, copy "
                f"the folder and truncate the file: truncate -s {whole.size_bytes} {path}"
            )
    cut_bytes = size_bytes - whole.size_bytes
    return Cut(path, whole.size_bytes, cut_bytes) if cut_bytes else None


def _is_tail(text: mmap.mmap | bytes, broken: _BrokenError) -> bool:
    """Whether the broken command contains no further command and is followed only by zeros."""
    return _NEXT.search(text, broken.start, broken.at) is None and _only_zeros(text, broken.at)


def _only_zeros(text: mmap.mmap | bytes, start: int) -> bool:
    """Whether all bytes from `start` to the end, if any, are zeros."""
    zeros = bytes(2**20)
    while start < len(text):
        block = text[start : start + len(zeros)]
        if block != zeros[: len(block)]:
            return False
        start += len(block)
    return True


def whole_commands(text: mmap.mmap | bytes) -> Whole:
    """Returns the complete commands. A transaction without its EXEC is incomplete."""
    position, began = 0, None  # offset of an open transaction
    while position < len(text):
        try:
            end, name = _command(text, position)
        except _BrokenError as broken:
            return Whole(position if began is None else began, broken)
        if name == b"MULTI":
            began = position
        elif name == b"EXEC":
            began = None
        position = end
    return Whole(position if began is None else began, None)


def _command(text: mmap.mmap | bytes, start: int) -> tuple[int, bytes]:
    """Returns the end and the name of the command at `start`; a comment has no name. Raises _Broken."""
    if text[start : start + 1] == b"#":
        return _comment_end(text, start), b""
    count, position = _head(text, start, start, b"*")
    name = b""
    for number in range(count):
        size_bytes, position = _head(text, start, position, b"$")
        end = position + size_bytes
        if text[end : end + len(_LINE_END)] != _LINE_END:
            raise _BrokenError(start, min(len(text), end + (text[end : end + 1] == b"\r")))
        if number == 0:
            name = text[position:end].upper()
        position = end + len(_LINE_END)
    return position, name


def _head(text: mmap.mmap | bytes, start: int, at: int, kind: bytes) -> tuple[int, int]:
    """Returns the number of `*N` or `$N`, and the end of its line. Raises _Broken."""
    head = text[at : at + _LONGEST_HEAD_BYTES]
    if found := re.match(re.escape(kind) + rb"(\d{1,18})\r\n", head):
        return int(found[1]), at + found.end()
    good = re.match(re.escape(kind) + rb"(?:\d{1,18}\r?)?", head)
    raise _BrokenError(start, at + (good.end() if good else 0))


def _comment_end(text: mmap.mmap | bytes, start: int) -> int:
    stop = min(start + _LONGEST_COMMENT_BYTES, len(text))
    end = text.find(_LINE_END, start, stop)
    if end >= 0:
        return end + len(_LINE_END)
    zero = text.find(b"\0", start, stop)
    raise _BrokenError(start, zero if zero >= 0 else stop)
