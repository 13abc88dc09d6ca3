"""`POST /jobs` in the OpenAPI document: its bodies, and the parameters of a file.

The route reads the body itself as a stream, so FastAPI cannot describe it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from shared.tabular.content_types import FORM
from shared.tabular.file_formats import UPLOAD_FORMATS, FileFormat
from shared.tabular.upload_options import UploadOptions

Json: TypeAlias = dict[str, Any]
"""A part of the document (Any: JSON)."""

_BINARY: Json = {"type": "string", "format": "binary"}
_BUDGET: Json = {"type": "string", "default": "10%", "examples": ["25", "0.1", "10%"]}
_CSV = "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n"
_NDJSON = '{"sepal_length":5.1,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}\n'
_HEADERS = {
    "Idempotency-Key": "Repeated requests with the same key and the same body create only one job",
    "Content-Encoding": "gzip or zstd, if the body is compressed",
    "Prefer": "`wait=N`: return the finished job if it ends within N seconds (RFC 7240)",
}


_TEXT_EXAMPLES = {FileFormat.CSV: _CSV, FileFormat.NDJSON: _NDJSON}


def file_bodies() -> Json:
    """Every body of `POST /jobs` except JSON, by media type."""
    fields = _fields()
    form = {
        "type": "object",
        "properties": fields | {"file": _BINARY | {"description": "The last part of the form"}},
        "required": ["model", "file"],
    }
    return {each.media_type: _body_of(each) for each in UPLOAD_FORMATS} | {FORM: {"schema": form}}


def _body_of(file_format: FileFormat) -> Json:
    if example := _TEXT_EXAMPLES.get(file_format):
        return {"schema": {"type": "string"}, "example": example}
    return {"schema": _BINARY}


def submission_parameters() -> list[Json]:
    """The headers of every submission, and the query parameters of a file."""
    text: Json = {"type": "string"}
    headers = [
        {"name": name, "in": "header", "required": False, "schema": text, "description": about}
        for name, about in _HEADERS.items()
    ]
    queries = [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": _about(schema)}
        for name, schema in _fields().items()
    ]
    return [*headers, *queries]


def _fields() -> dict[str, Json]:
    """The schemas of the query parameters of a file, by name."""
    described: dict[str, Json] = UploadOptions.model_json_schema(by_alias=False)["properties"]
    del described["delimiter"]["maxLength"]  # it may be the word `tab`
    described["max_errors"] = {"description": described["max_errors"].get("description", "")} | _BUDGET
    return {name: _plain(schema) for name, schema in described.items()}


def _plain(schema: Json) -> Json:
    """A schema without `null`, which a query cannot express, and without the redundant title."""
    alternatives = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "title", "default")}
    default = {"default": schema["default"]} if schema.get("default") is not None else {}
    return rest | default | (alternatives[0] if alternatives else {})


def _about(schema: Json) -> str:
    return f"For a file: {schema.get('description', '')}"
