"""The file formats of rows and results: names, media types and file extensions. A new format begins here."""

from __future__ import annotations

from enum import StrEnum


class FileFormat(StrEnum):
    """The names for `?format=`, also used as file extensions."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"  # an Arrow stream
    ARROW_FILE = "arrow_file"  # an Arrow stream in a file with a footer; only read

    @property
    def media_type(self) -> str:
        """The preferred media type."""
        return MEDIA_TYPES[self][0]


UPLOAD_FORMATS = (
    FileFormat.CSV,
    FileFormat.NDJSON,
    FileFormat.PARQUET,
    FileFormat.ARROW,
    FileFormat.ARROW_FILE,
)
"""The formats that are read as a stream; JSON is read as a whole."""
RESULT_FORMATS = (FileFormat.JSON, FileFormat.NDJSON, FileFormat.CSV, FileFormat.PARQUET, FileFormat.ARROW)
"""The formats of results, in the order of preference."""

MEDIA_TYPES = {
    FileFormat.JSON: ("application/json",),
    FileFormat.NDJSON: ("application/x-ndjson", "application/ndjson", "application/jsonl"),
    FileFormat.CSV: ("text/csv", "application/csv"),
    FileFormat.PARQUET: ("application/vnd.apache.parquet", "application/x-parquet"),
    FileFormat.ARROW: ("application/vnd.apache.arrow.stream",),
    FileFormat.ARROW_FILE: ("application/vnd.apache.arrow.file",),
}
"""The media types of each format. Responses use the first."""
ENDINGS = {
    ".csv": FileFormat.CSV,
    ".ndjson": FileFormat.NDJSON,
    ".jsonl": FileFormat.NDJSON,
    ".parquet": FileFormat.PARQUET,
    ".arrows": FileFormat.ARROW,
    ".arrow": FileFormat.ARROW_FILE,
    ".feather": FileFormat.ARROW_FILE,
}
"""The format of an uploaded file by its extension."""
