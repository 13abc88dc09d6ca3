"""The predictions of other protocols in the OpenAPI document, and the error bodies of all their endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from api.http.error_answers import of_errors
from api.inference_protocol.datatypes import BYTES, FIXED_WIDTH
from shared.tabular.file_formats import UPLOAD_FORMATS

Json: TypeAlias = dict[str, Any]
"""A part of the document (Any: JSON)."""

_INFERENCE, _INVOCATIONS = "/v2", "/invocations"
_ERRORS = (400, 404, 408, 413, 415, 500, 503, 504)
_TABLES = [each.media_type for each in UPLOAD_FORMATS]
_TEXT: Json = {"type": "string"}
_ROWS: Json = {"type": "array", "items": {"type": "array"}}
_PARAMETERS: Json = {"type": "object", "additionalProperties": True}


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _tensor(*required: str) -> Json:
    return {
        "type": "object",
        "properties": {
            "name": _TEXT,
            "datatype": {"type": "string", "enum": [*FIXED_WIDTH, BYTES]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "parameters": _PARAMETERS,
            "data": {
                "type": "array",
                "description": "The elements, flat or nested; absent if they are binary",
            },
        },
        "required": ["name", "datatype", "shape", *required],
    }


SCHEMAS: Json = {
    "InferenceRequest": {
        "type": "object",
        "properties": {
            "id": _TEXT,
            "parameters": _PARAMETERS
            | {"description": "`timeout` (µs), `priority`, `binary_data_output`; others are ignored"},
            "inputs": {"type": "array", "items": _tensor(), "minItems": 1},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": _TEXT, "parameters": _PARAMETERS},
                    "required": ["name"],
                },
            },
        },
        "required": ["inputs"],
    },
    "InferenceResponse": {
        "type": "object",
        "properties": {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "outputs": {"type": "array", "items": _tensor()},
        },
        "required": ["model_name", "model_version", "outputs"],
    },
    "InferenceErrorBody": {
        "type": "object",
        "properties": {
            "error": {"type": "string", "description": "The reason, as a sentence"},
            "parameters": {
                "type": "object",
                "properties": {"code": _TEXT, "request_id": _TEXT},
                "required": ["code", "request_id"],
            },
        },
        "required": ["error", "parameters"],
    },
    "ScoringRequest": {
        "type": "object",
        "description": "Exactly one of the four forms of rows",
        "properties": {
            "dataframe_split": {
                "type": "object",
                "properties": {"columns": {"type": "array", "items": _TEXT}, "data": _ROWS},
                "required": ["data"],
            },
            "dataframe_records": {"type": "array", "items": {"type": "object"}},
            "instances": {"type": "array"},
            "inputs": {"type": ["array", "object"]},
            "params": {"type": "object", "description": "Ignored"},
        },
    },
    "ScoringResponse": {
        "type": "object",
        "properties": {"predictions": {"type": "array"}},
        "required": ["predictions"],
    },
    "ScoringErrorBody": {
        "type": "object",
        "properties": {"error_code": _TEXT, "message": _TEXT, "request_id": _TEXT},
        "required": ["error_code", "message", "request_id"],
    },
}
_EXAMPLE: Json = {
    "id": "1",
    "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}],
}
_BINARY: Json = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}


def _descriptions(*statuses: int) -> dict[int, str]:
    described = of_errors(*(422 if status == 400 else status for status in statuses))
    return {
        400 if int(status) == 422 else int(status): answer["description"]
        for status, answer in described.items()
    }


def _error_responses() -> Json:
    return {str(status): {"description": text} for status, text in _descriptions(*_ERRORS).items()}


def _path_parameters(names: Sequence[str]) -> list[Json]:
    return [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]


def _inference(operation_id: str, *path_parameters: str) -> Json:
    """An inference operation. Each model's inputs are described by its metadata."""
    json_length: Json = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "schema": {"type": "integer"},
    }
    return {
        "tags": ["inference protocol"],
        "operationId": operation_id,
        "summary": "Infer",
        "description": "Predict with a tensor per input, or, if all inputs are numbers, with one tensor "
        "`[rows, values]`. A body with binary tensors begins with its JSON, whose length is in the header.",
        "parameters": [
            *_path_parameters(path_parameters),
            json_length | {"description": "Length of the JSON in bytes, if binary tensors follow"},
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _reference("InferenceRequest"), "example": _EXAMPLE},
                "application/octet-stream": _BINARY,
            },
        },
        "responses": {
            "200": {
                "description": "The outputs; binary if the request asks for it",
                "content": {
                    "application/json": {"schema": _reference("InferenceResponse")},
                    "application/octet-stream": _BINARY,
                },
            },
            **_error_responses(),
        },
    }


def _scoring(operation_id: str, *path_parameters: str) -> Json:
    """An invocation, with the rows in a form of MLflow, or as a file of a job."""
    file: Json = {"schema": {"type": "string"}}
    return {
        "tags": ["scoring protocol"],
        "operationId": operation_id,
        "summary": "Score",
        "description": "Predict with MLflow's scoring protocol. A prediction is an object with all outputs, "
        "or the value of the only output.",
        "parameters": _path_parameters(path_parameters),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _reference("ScoringRequest"),
                    "example": {"inputs": [[5.1, 3.5, 1.4, 0.2]]},
                },
                **dict.fromkeys(_TABLES, file),
            },
        },
        "responses": {
            "200": {
                "description": "The predictions",
                "content": {"application/json": {"schema": _reference("ScoringResponse")}},
            },
            **_error_responses(),
        },
    }


PATHS: Json = {
    "/invocations": {"post": _scoring("invocations")},
    "/models/{name}/invocations": {"post": _scoring("model_invocations", "name")},
    "/v2/models/{model}/infer": {"post": _inference("infer", "model")},
    "/v2/models/{model}/versions/{version}/infer": {"post": _inference("infer_version", "model", "version")},
}


def use_own_errors(document: Json) -> None:
    """Give the errors of these endpoints the format of their protocol: 400 in place of 422."""
    for path, operations in document["paths"].items():
        name = _error_body_of(path)
        if name is not None:
            for operation in operations.values():
                _replace(operation["responses"], name)


def _error_body_of(path: str) -> str | None:
    if path == _INFERENCE or path.startswith(f"{_INFERENCE}/"):
        return "InferenceErrorBody"
    return "ScoringErrorBody" if path.endswith(_INVOCATIONS) else None


def _replace(responses: Json, name: str) -> None:
    if "422" in responses:
        responses["400"] = responses.pop("422")
    for status, response in responses.items():
        own = _own_schema(response)
        if int(status) >= 400 and (own is None or own.endswith(("/ErrorBody", "/InvalidInputBody"))):
            response["content"] = {"application/json": {"schema": _reference(name)}}


def _own_schema(response: Json) -> str | None:
    schema: Json = response.get("content", {}).get("application/json", {}).get("schema", {})
    return schema.get("$ref")
