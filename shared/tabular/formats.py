"""The file formats of rows and results: names, media types and file extensions. A new format begins here."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
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


UPLOAD_FORMATS = (Format.CSV, Format.NDJSON, Format.PARQUET, Format.ARROW, Format.ARROW_FILE)
"""The formats that are read as a stream; JSON is read as a whole."""
RESULT_FORMATS = (Format.JSON, Format.NDJSON, Format.CSV, Format.PARQUET, Format.ARROW)
"""The formats of results, in the order of preference."""

MEDIA_TYPES = {
    Format.JSON: ("application/json",),
    Format.NDJSON: ("application/x-ndjson", "application/ndjson", "application/jsonl"),
    Format.CSV: ("text/csv", "application/csv"),
    Format.PARQUET: ("application/vnd.apache.parquet", "application/x-parquet"),
    Format.ARROW: ("application/vnd.apache.arrow.stream",),
    Format.ARROW_FILE: ("application/vnd.apache.arrow.file",),
}
"""The media types of each format. Responses use the first."""
ENDINGS = {
    ".csv": Format.CSV,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".parquet": Format.PARQUET,
    ".arrows": Format.ARROW,
    ".arrow": Format.ARROW_FILE,
    ".feather": Format.ARROW_FILE,
}
"""The format of an uploaded file by its extension."""
