"""Reads a file into chunks: decompresses, decodes, casts, validates, splits. Blocking; runs in a thread."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from shared.arrow_tables import Compression
from shared.errors import InvalidInputError, PayloadTooLargeError
from shared.safe_texts import bounded
from shared.tabular.chunking import Chunk, Cutter
from shared.tabular.columnar import ArrowReader, ParquetReader
from shared.tabular.content_types import Wrapping
from shared.tabular.csv import CsvReader
from shared.tabular.decompression import ByteSource, Meter, Rejoined, unpacked
from shared.tabular.file_errors import reason_of
from shared.tabular.file_formats import FileFormat
from shared.tabular.file_signatures import HEAD_BYTES, refuse_other
from shared.tabular.ndjson import NdjsonReader
from shared.tabular.rows import Rows
from shared.tabular.upload_options import UploadOptions
from shared.validation import RowValidator

MOST_PROBLEMS = 100
_LONGEST_REASON = 200
_MOST_REASONS_BYTES = 16 * 2**10


@dataclass(frozen=True)
class UploadLimits:
    """The limits of an upload, and the storage of its rows."""

    job_bytes: int  # limit of the decompressed body, and of the stored rows
    chunk_rows: int
    chunk_bytes: int
    spool_dir: Path | None
    compression: Compression = None


@dataclass(frozen=True)
class InvalidRow:
    """Why a row is invalid. `line`: the line of the file in which it begins; None if the format has none."""

    row: int
    reason: str
    line: int | None = None


@dataclass
class ReadSummary:
    """The counts and problems of a file. The reading thread updates it; it is complete after the reading."""

    rows: int = 0
    rows_failed: int = 0
    problems: list[InvalidRow] = field(default_factory=list)  # the first problems
    ignored_columns: tuple[str, ...] = ()
    sha256: str = ""  # of the decompressed body, if requested

    def add(self, rows: Rows) -> None:
        failed = len(rows.reasons) - rows.reasons.null_count
        if failed and len(self.problems) < MOST_PROBLEMS:
            places = pc.indices_nonzero(pc.is_valid(rows.reasons)).to_pylist()
            room = self._room()
            self.problems += [
                InvalidRow(self.rows + i, bounded(rows.reasons[i].as_py(), _LONGEST_REASON), rows.line_of(i))
                for i in places[:room]
            ]
        self.rows += len(rows.reasons)
        self.rows_failed += failed

    def _room(self) -> int:
        """Returns how many more problems may be added, by number and total size."""
        used_bytes = sum(len(problem.reason.encode()) for problem in self.problems)
        return MOST_PROBLEMS - len(self.problems) if used_bytes < _MOST_REASONS_BYTES else 0


class Reader(Protocol):
    """A reader of a file, used once from beginning to end."""

    ignored: tuple[str, ...]

    def __iter__(self) -> Iterator[Rows]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Reading:
    """How a file is read."""

    wrapping: Wrapping
    validator: RowValidator
    options: UploadOptions
    limits: UploadLimits
    digested: bool = True
    """Whether to compute the body's SHA-256, which takes a tenth of the time of reading its rows."""

    def chunks(self, source: ByteSource, summary: ReadSummary) -> Iterator[Chunk]:
        """Yields the rows of the file in chunks, and updates `summary`.

        Raises InvalidInputError if the file cannot be read or contains no row, PayloadTooLargeError beyond
        the limits,
        and the errors of `source`.
        """
        limits = self.limits
        cutter = Cutter(
            chunk_rows=limits.chunk_rows, chunk_bytes=limits.chunk_bytes, compression=limits.compression
        )
        with _foreign_errors(self.wrapping):
            meter = self._meter(source)
            for batch in self._batches(meter, summary):
                yield from cutter.add(batch)
            meter.drain()
        summary.sha256 = meter.hexdigest()
        if not summary.rows:
            raise InvalidInputError("The body contains no row.")
        yield from cutter.rest()

    def rows(self, body: bytes) -> Iterator[Rows]:
        """Yields the rows of a whole body, valid and invalid.

        Raises InvalidInputError if it cannot be read or contains no row.
        """
        count = 0
        with _foreign_errors(self.wrapping), closing(self._open(self._meter(io.BytesIO(body)))) as reader:
            for rows in reader:
                count += len(rows.reasons)
                yield rows.with_short_reasons()
        if not count:
            raise InvalidInputError("The body contains no row.")

    def _meter(self, source: ByteSource) -> Meter:
        return Meter(unpacked(source, self.wrapping.packing), self.limits.job_bytes, digested=self.digested)

    def _batches(self, meter: Meter, summary: ReadSummary) -> Iterator[pa.RecordBatch]:
        stored_bytes = 0
        with closing(self._open(meter)) as reader:
            summary.ignored_columns = reader.ignored
            for unbounded in reader:
                rows = unbounded.with_short_reasons()
                summary.add(rows)
                batch = rows.batch(self.validator.spec, self.options.kept)
                stored_bytes += batch.nbytes
                if stored_bytes > self.limits.job_bytes:
                    raise PayloadTooLargeError(f"The rows take more than {self.limits.job_bytes} bytes.")
                yield batch

    def _open(self, meter: Meter) -> Reader:
        spec, options = self.validator.spec, self.options
        charset = options.charset or self.wrapping.charset
        head = meter.read(HEAD_BYTES)
        refuse_other(head, self.wrapping.format, charset)
        source = Rejoined(head, meter)
        match self.wrapping.format:
            case FileFormat.CSV:
                return CsvReader(source, spec, options, charset)
            case FileFormat.NDJSON:
                return NdjsonReader(source, self.validator, options, charset)
            case FileFormat.PARQUET:
                return ParquetReader(source, spec, options, self.limits.spool_dir)
            case FileFormat.ARROW | FileFormat.ARROW_FILE as kind:
                return ArrowReader(source, spec, options, file=kind is FileFormat.ARROW_FILE)
            case FileFormat.JSON:
                raise ValueError("JSON is not read as a stream")


class Digesting(Reading):
    """Reads only the digest of a body with an Idempotency-Key that is already in use."""

    def chunks(self, source: ByteSource, summary: ReadSummary) -> Iterator[Chunk]:
        with _foreign_errors(self.wrapping):
            meter = self._meter(source)
            meter.drain()
        summary.sha256 = meter.hexdigest()
        return iter(())


@contextmanager
def _foreign_errors(wrapping: Wrapping) -> Iterator[None]:
    """Raises the errors of Arrow and of decompression as InvalidInputError."""
    try:
        yield
    except MemoryError:  # includes pyarrow.ArrowMemoryError; the file may be valid
        raise
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        packed = "" if wrapping.packing == "identity" else f" compressed with {wrapping.packing}"
        raise InvalidInputError(
            f"The body cannot be read as {wrapping.format.media_type}{packed}: {reason_of(error)}."
        ) from error
