"""Request bodies: JSON documents, files, rows and tables, encoded piece by piece while they are sent."""

# ruff: noqa: A002 - `format` is the service's parameter name
from __future__ import annotations

import io
import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from takt.formats import ENDINGS, MAGIC_BYTES, Format, format_of, media_type_of, packing_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

InputRow: TypeAlias = Mapping[str, Any] | Sequence[Any]
"""An input row: fields by name, or values in the model's order (Any: the model's fields). The value of an
image input is the content of a JPEG or PNG file, as bytes."""

Rows: TypeAlias = "str | Path | bytes | Iterable[InputRow] | Iterator[bytes] | pd.DataFrame | pa.Table"
"""A file's path, a file's bytes, rows, a pandas DataFrame or an Arrow table."""

PIECE_BYTES = 2**18
IMAGE_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
"""Media types by the first bytes of a file."""
_ROWS_AT_ONCE = 500
_TABLE_ROWS_AT_ONCE = 2**16


@dataclass(frozen=True)
class Body:
    """The body of a request. Each call of `pieces` starts from the beginning, unless `once` is set."""

    pieces: Callable[[], Iterator[bytes]]
    media_type: str = Format.JSON.media_type
    encoding: str = ""
    length_bytes: int | None = None
    once: bool = False

    @property
    def headers(self) -> dict[str, str]:
        found = {"content-type": self.media_type}
        if self.encoding:
            found["content-encoding"] = self.encoding
        if self.length_bytes is not None:
            found["content-length"] = str(self.length_bytes)
        return found


def of_document(value: object) -> Body:
    """Returns a JSON body; times are written in RFC 3339."""
    return of_bytes(encode(value), Format.JSON.media_type)


def of_image(content: bytes) -> Body:
    """Returns a body that is a JPEG or PNG file. Raises ValueError if it is neither."""
    for mark, media_type in IMAGE_TYPES.items():
        if content.startswith(mark):
            return of_bytes(content, media_type)
    raise ValueError("the bytes are neither a JPEG nor a PNG file")


def of_bytes(content: bytes, media_type: str, encoding: str = "") -> Body:
    return Body(lambda: iter(_cut(content)), media_type, encoding, len(content))


def of_rows(rows: Rows, format: Format | None = None) -> Body:
    """Returns the body for rows. With `format`, an iterable yields bytes in that format.

    Otherwise rows are sent as NDJSON, tables and DataFrames as an Arrow stream, which requires pyarrow.
    Raises ValueError if a file's format is unknown, OSError if the file cannot be read.
    """
    if isinstance(rows, str | Path):
        return of_file(Path(rows), format)
    if isinstance(rows, bytes | bytearray | memoryview):
        if format is None:
            raise ValueError("bytes need a format: give `format`")
        return _of_format(format, bytes(rows))
    if format is not None:
        pieces = cast("Iterator[bytes]", iter(rows))
        return Body(lambda: pieces, format.media_type, once=True)
    if (table := _table(rows)) is not None:
        return Body(lambda: _arrow_pieces(table), Format.ARROW.media_type)
    listed = cast("Iterable[InputRow]", rows)
    return Body(lambda: _lines(listed), Format.NDJSON.media_type, once=isinstance(listed, Iterator))


def of_file(path: Path, format: Format | None = None) -> Body:
    """Returns the body for a file.

    Raises ValueError if its format is unknown, OSError if it cannot be read.
    """
    found = format or format_of(path.name)
    if found is None:
        raise ValueError(f"{path.name}: unknown format: give `format`, or use an extension of {ENDINGS}")
    if found is Format.JSON:
        return _of_format(found, path.read_bytes())
    with path.open("rb") as file:
        media_type = media_type_of(found, file.read(MAGIC_BYTES))
    return Body(lambda: _file_pieces(path), media_type, packing_of(path.name), path.stat().st_size)


def _of_format(format: Format, content: bytes) -> Body:
    """Returns the body for bytes in a format. A JSON list is sent as NDJSON. Raises ValueError."""
    if format is not Format.JSON:
        return of_bytes(content, media_type_of(format, content[:MAGIC_BYTES]))
    rows = json.loads(content)
    if not isinstance(rows, list):
        raise ValueError("the JSON document is not a list of rows")
    return Body(lambda: _lines(rows), Format.NDJSON.media_type)


def observed(body: Body, sent: Callable[[int], None]) -> Body:
    """Returns the same body; `sent` is called after each piece with the number of bytes sent."""

    def pieces() -> Iterator[bytes]:
        count = 0
        for piece in body.pieces():
            yield piece
            count += len(piece)
            sent(count)

    return replace(body, pieces=pieces)


def plain(row: InputRow) -> InputRow:
    """Returns a row as a JSON value."""
    return row if isinstance(row, Mapping) else list(row)


def plain_rows(rows: Sequence[InputRow] | pd.DataFrame) -> list[InputRow]:
    """Returns rows as JSON values. Missing values of a DataFrame are null."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(rows, pandas.DataFrame):
        frame = rows.astype(object).where(rows.notna(), None)
        return cast("list[InputRow]", frame.to_dict("records"))
    return [plain(row) for row in cast("Sequence[InputRow]", rows)]


def encode(value: object) -> bytes:
    return json.dumps(value, default=_as_json, ensure_ascii=False).encode()


def _as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):  # an image
        return b64encode(value).decode()
    if callable(tolist := getattr(value, "tolist", None)):  # a number or an array of numpy
        return tolist()
    raise TypeError(f"a row cannot contain a {type(value).__name__}")


def _cut(content: bytes) -> Iterator[bytes]:
    return (content[first : first + PIECE_BYTES] for first in range(0, len(content), PIECE_BYTES))


def _file_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _lines(rows: Iterable[InputRow]) -> Iterator[bytes]:
    lines: list[bytes] = []
    for row in rows:
        lines.append(encode(plain(row)) + b"\n")
        if len(lines) == _ROWS_AT_ONCE:
            yield b"".join(lines)
            lines.clear()
    if lines:
        yield b"".join(lines)


def _table(rows: object) -> pa.Table | None:
    """Returns a DataFrame or table as an Arrow table, else None. Its package is already imported."""
    pandas, arrow = sys.modules.get("pandas"), sys.modules.get("pyarrow")
    if pandas is not None and isinstance(rows, pandas.DataFrame):
        import pyarrow

        return pyarrow.Table.from_pandas(rows, preserve_index=False)
    return rows if arrow is not None and isinstance(rows, arrow.Table) else None


def _arrow_pieces(table: pa.Table) -> Iterator[bytes]:
    import pyarrow

    sink = _HandOn()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=_TABLE_ROWS_AT_ONCE):
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


class _HandOn(io.RawIOBase):
    """A file object that collects written bytes until `taken` returns them."""

    def __init__(self) -> None:
        super().__init__()
        self._written: list[bytes] = []
        self._position = 0

    def taken(self) -> bytes:
        """Returns the bytes written since the last call."""
        found = b"".join(self._written)
        self._written.clear()
        return found

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:  # Any: bytes or an Arrow buffer
        written = bytes(data)
        self._written.append(written)
        self._position += len(written)
        return len(written)
