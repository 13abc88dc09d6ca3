"""A file → chunks, in one thread: unpacked, decoded, cast, checked, cut. Blocking; no event loop in here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from shared.errors import InvalidInput, PayloadTooLarge
from shared.tables import Compression
from shared.tabular.chunking import Chunk, Cutter
from shared.tabular.columnar import ArrowReader, ParquetReader
from shared.tabular.csv import CsvReader
from shared.tabular.decoding import ByteSource, Meter, Rejoined, unpacked
from shared.tabular.formats import UploadFormat, Wrapping
from shared.tabular.ndjson import NdjsonReader
from shared.tabular.options import UploadOptions
from shared.tabular.rows import Rows
from shared.tabular.signatures import HEAD_BYTES, refuse_other
from shared.tabular.unreadable import reason_of
from shared.texts import bounded
from shared.validation import RowValidator

MOST_PROBLEMS = 100
_LONGEST_REASON = 200
_MOST_REASONS_BYTES = 16 * 2**10


@dataclass(frozen=True)
class UploadLimits:
    """What one upload may cost, and how its rows are stored."""

    job_bytes: int  # of what a body unpacks to, and of the rows as they are stored
    chunk_rows: int
    chunk_bytes: int
    spool_dir: Path | None
    compression: Compression = None


@dataclass
class ReadSummary:
    """What was found in a file. The reading thread counts; it is whole once the reading has ended."""

    rows: int = 0
    rows_failed: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)  # the first: row, reason
    ignored_columns: tuple[str, ...] = ()
    sha256: str = ""  # of the unpacked body, where it is digested

    def add(self, rows: Rows) -> None:
        failed = len(rows.reasons) - rows.reasons.null_count
        if failed and len(self.problems) < MOST_PROBLEMS:
            places = pc.indices_nonzero(pc.is_valid(rows.reasons)).to_pylist()
            room = self._room()
            self.problems += [
                (self.rows + i, bounded(rows.reasons[i].as_py(), _LONGEST_REASON)) for i in places[:room]
            ]
        self.rows += len(rows.reasons)
        self.rows_failed += failed

    def _room(self) -> int:
        """For how many more problems: they are few, and none is long."""
        said_bytes = sum(len(reason.encode()) for _, reason in self.problems)
        return MOST_PROBLEMS - len(self.problems) if said_bytes < _MOST_REASONS_BYTES else 0


class Reader(Protocol):
    """A file that is read once, from its beginning to its end."""

    ignored: tuple[str, ...]

    def __iter__(self) -> Iterator[Rows]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Reading:
    """How one file is read."""

    wrapping: Wrapping
    validator: RowValidator
    options: UploadOptions
    limits: UploadLimits
    digested: bool = True
    """Whether the body's SHA-256 is wanted, which takes a tenth of the time that its rows do."""

    def chunks(self, source: ByteSource, tally: ReadSummary) -> Iterator[Chunk]:
        """Every row of the file, in chunks; `tally` counts along.

        Raises InvalidInput if the file as a whole cannot be read or holds no row, PayloadTooLarge past
        the limits, and what `source` raises.
        """
        limits = self.limits
        cutter = Cutter(
            chunk_rows=limits.chunk_rows, chunk_bytes=limits.chunk_bytes, compression=limits.compression
        )
        with _foreign_errors(self.wrapping):
            meter = self._meter(source)
            for batch in self._batches(meter, tally):
                yield from cutter.add(batch)
            meter.drain()
        tally.sha256 = meter.hexdigest()
        if not tally.rows:
            raise InvalidInput("The body holds no row.")
        yield from cutter.rest()

    def _meter(self, source: ByteSource) -> Meter:
        return Meter(unpacked(source, self.wrapping.packing), self.limits.job_bytes, digested=self.digested)

    def _batches(self, meter: Meter, tally: ReadSummary) -> Iterator[pa.RecordBatch]:
        stored_bytes = 0
        with closing(self._open(meter)) as reader:
            tally.ignored_columns = reader.ignored
            for unbounded in reader:
                rows = unbounded.with_short_reasons()
                tally.add(rows)
                batch = rows.batch(self.validator.spec, self.options.kept)
                stored_bytes += batch.nbytes
                if stored_bytes > self.limits.job_bytes:
                    raise PayloadTooLarge(f"The rows take more than {self.limits.job_bytes} bytes.")
                yield batch

    def _open(self, meter: Meter) -> Reader:
        spec, options = self.validator.spec, self.options
        charset = options.charset or self.wrapping.charset
        head = meter.read(HEAD_BYTES)
        refuse_other(head, self.wrapping.format, charset)
        source = Rejoined(head, meter)
        match self.wrapping.format:
            case UploadFormat.CSV:
                return CsvReader(source, spec, options, charset)
            case UploadFormat.NDJSON:
                return NdjsonReader(source, self.validator, options.kept, charset)
            case UploadFormat.PARQUET:
                return ParquetReader(source, spec, options, self.limits.spool_dir)
            case UploadFormat.ARROW_STREAM | UploadFormat.ARROW_FILE as kind:
                return ArrowReader(source, spec, options, file=kind is UploadFormat.ARROW_FILE)


class Digesting(Reading):
    """A body that a key stands for already: only its digest is wanted, no chunk of it."""

    def chunks(self, source: ByteSource, tally: ReadSummary) -> Iterator[Chunk]:
        with _foreign_errors(self.wrapping):
            meter = self._meter(source)
            meter.drain()
        tally.sha256 = meter.hexdigest()
        return iter(())


@contextmanager
def _foreign_errors(wrapping: Wrapping) -> Iterator[None]:
    """What Arrow says of a file that it cannot read, as InvalidInput."""
    try:
        yield
    except MemoryError:  # pyarrow.ArrowMemoryError is one: nothing is wrong with the bytes
        raise
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        packed = "" if wrapping.packing == "identity" else f" packed with {wrapping.packing}"
        raise InvalidInput(
            f"The body cannot be read as {wrapping.format}{packed}: {reason_of(error)}."
        ) from error
