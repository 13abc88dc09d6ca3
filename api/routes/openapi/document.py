"""The OpenAPI document: FastAPI's document, extended by the predictions of each model.

Prediction requests bypass FastAPI, so this module describes them. Request schemas come from the validators,
response schemas from the outputs of the model's spec.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeAlias

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.access.permissions import Permission, permission_of, permissions_of
from api.http.error_answers import ErrorBody, InvalidInputBody, body_of, of_errors
from api.jobs.json_chunks import Submission
from api.models.catalog import Catalog, Servable
from api.routes.openapi import other_protocols
from api.routes.openapi.job_bodies import file_bodies, submission_parameters
from shared.images import MEDIA_TYPES
from shared.input_types import title
from shared.output_specs import OutputSpec, OutputType, View
from shared.specs import ModelSpec
from shared.tabular.content_types import FORM
from shared.validation import example_body

Json: TypeAlias = dict[str, Any]
"""A part of the document (Any: JSON)."""

_REF = "#/components/schemas/{model}"
_ERRORS = (404, 413, 415, 422, 500, 503, 504)

_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `takt_…`"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key: `takt_…`"},
}
_ERROR_CONTENT = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}}
_WAIT = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "example": "wait=5"},
    "description": "`wait=N`: wait at most N seconds for the result. `respond-async`: create a job instead "
    "and return 202 with its `Location` (RFC 7240).",
}


class OpenApiDocument:
    """The document of an application, made again only if the catalog's versions or their specs have changed.

    Building it blocks the event loop for about 0.3 s: no prediction is answered meanwhile.
    """

    def __init__(self, app: FastAPI, catalog: Catalog, *, guarded: bool) -> None:
        """`guarded`: API keys are required, and described."""
        self._app, self._catalog, self._guarded = app, catalog, guarded
        self._made_of: list[tuple[str, str, ModelSpec]] = []
        self._document: Json | None = None

    def __call__(self) -> Json:
        made_of = self._served()
        if self._document is None or not _same(made_of, self._made_of):
            self._document = document(self._app, self._catalog, guarded=self._guarded)
            self._made_of = made_of
        return self._document

    def _served(self) -> list[tuple[str, str, ModelSpec]]:
        """Every path's model, its version and its spec."""
        catalog, default = self._catalog, self._catalog.default
        found = [("", default.version, default.spec)] if default is not None else []
        for name in catalog.names:
            found.append((name, catalog.find(name).version, catalog.find(name).spec))
            found += [(name, version, catalog.find(name, version).spec) for version in catalog.versions(name)]
        return found


def _same(a: list[tuple[str, str, ModelSpec]], b: list[tuple[str, str, ModelSpec]]) -> bool:
    """Whether both hold the same objects: a spec that is read again may have other descriptions."""
    return len(a) == len(b) and all(x[:2] == y[:2] and x[2] is y[2] for x, y in zip(a, b, strict=True))


def document(app: FastAPI, catalog: Catalog, *, guarded: bool = False) -> Json:
    """The OpenAPI document for the current catalog. `guarded`: API keys are required, and described."""
    base = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas: Json = base["components"]["schemas"]
    _only_our_errors(base, schemas)
    _describe_submission(base, schemas, catalog)
    for name in catalog.names:
        schemas |= _schemas_of(catalog.find(name))
    schemas |= other_protocols.SCHEMAS
    base["paths"] = _predictions(catalog) | base["paths"] | deepcopy(other_protocols.PATHS)
    base["tags"] = [_tag(catalog.find(name).spec) for name in catalog.names] + [
        {
            "name": "models",
            "description": "Models, their versions, the workers that hold them, and latencies.",
        },
        {
            "name": "inference protocol",
            "description": "The Open Inference Protocol, for clients of Triton, KServe and MLServer.",
        },
        {
            "name": "scoring protocol",
            "description": "MLflow's scoring protocol and SageMaker's container contract.",
        },
        {"name": "jobs", "description": "Batch predictions: submit rows or a file, fetch the results later."},
        {"name": "operations", "description": "Workers, queued work, scaling and history."},
        {"name": "health", "description": "Health checks for probes and load balancers."},
    ]
    if guarded:
        describe_access(base)
    other_protocols.use_own_errors(base)
    return base


def _predictions(catalog: Catalog) -> Json:
    paths: Json = {}
    if catalog.default is not None:
        paths |= _operations("", catalog.default, "default")
    for name in catalog.names:
        paths |= _operations(f"/models/{name}", catalog.find(name), name)
        for version in catalog.versions(name):
            servable = catalog.find(name, version)
            paths |= _operations(f"/models/{name}/versions/{version}", servable, f"{name}_{version}")
    return paths


def _operations(prefix: str, servable: Servable, about: str) -> Json:
    spec = servable.spec
    row, rows = example_body(spec), _example_batch(spec)
    single = _operation(servable, f"predict_{about}", "Predict one row", ("Input", "Prediction"), row)
    single["requestBody"]["content"] |= _bodies_with_files(spec)
    batch = _operation(
        servable, f"predict_batch_{about}", "Predict many rows", ("Batch", "Predictions"), rows
    )
    return {f"{prefix}/predict": {"post": single}, f"{prefix}/predict/batch": {"post": batch}}


def _operation(
    servable: Servable, operation_id: str, summary: str, types: tuple[str, str], example: Json
) -> Json:
    spec = servable.spec
    taken, given = (_reference(title(spec) + kind) for kind in types)
    return {
        "tags": [spec.name],
        "operationId": operation_id.replace(".", "_").replace("-", "_").replace("+", "_"),
        "summary": f"{summary} with {spec.name} {servable.version}",
        "description": spec.description,
        "parameters": [_WAIT],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": taken, "example": example}},
        },
        "responses": {"200": {"description": "The result", "headers": _headers(), "content": _json_of(given)}}
        | _error_responses(),
    }


def _bodies_with_files(spec: ModelSpec) -> Json:
    """The bodies of `/predict` that are an image, or a form with images."""
    images = [field.name for field in spec.inputs if field.image]
    if not images:
        return {}
    file: Json = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {field.name: file if field.image else {} for field in spec.inputs},
        "required": [field.name for field in spec.inputs if not field.nullable],
    }
    alone = {kind: {"schema": file} for kind in MEDIA_TYPES} if len(images) == 1 else {}
    return alone | {FORM: {"schema": form}}


def _headers() -> Json:
    text = {"type": "string"}
    return {
        "X-Model-Version": {"description": "The model version that computed the result", "schema": text},
        "Server-Timing": {"description": "Duration of each stage in ms", "schema": text},
        "X-Request-ID": {"description": "Request id, also in logs and error bodies", "schema": text},
    }


def _error_responses() -> Json:
    return {
        str(status): {
            "description": response["description"],
            "content": _json_of(_reference(body_of(int(status)).__name__)),
        }
        for status, response in of_errors(*_ERRORS).items()
    }


def _schemas_of(servable: Servable) -> Json:
    spec, validator = servable.spec, servable.validator
    name = title(spec)
    batch = validator.batch.json_schema(ref_template=_REF)
    defined: Json = batch.pop("$defs", {})
    prediction = _object({output.name: _output(spec, output) for output in spec.outputs})
    one = prediction
    if spec.response_model_version:
        version = {"type": "string", "description": "The model version that computed the result"}
        one = _object(prediction["properties"] | {"model_version": version})
    rows = {"results": {"type": "array", "items": prediction}, "total_count": {"type": "integer"}}
    return defined | {
        f"{name}Input": validator.one.json_schema(ref_template=_REF),
        f"{name}Batch": batch,
        f"{name}Prediction": one,
        f"{name}Predictions": _object(rows),
    }


def _output(spec: ModelSpec, output: OutputSpec) -> Json:
    about = {"description": output.description} if output.description else {}
    match output.view:
        case View.LABEL:
            return {"type": "string", "enum": list(spec.classes_of(output))} | about
        case View.CLASS_INDEX:
            return {"type": "integer", "minimum": 0} | about
        case View.CONFIDENCE:
            return {"type": "number", "minimum": 0, "maximum": 1} | about
        case View.PROBABILITIES:
            return {"type": "array", "items": {"type": "number"}} | about
        case View.VALUE | View.TENSOR:
            nested = _value(output)
            for length in reversed(output.shape):
                nested = {"type": "array", "items": nested, "minItems": length, "maxItems": length}
            return nested | about


_VALUES: dict[OutputType, Json] = {
    OutputType.FLOAT64: {"type": "number"},
    OutputType.FLOAT32: {"type": "number", "format": "float"},
    OutputType.INT64: {"type": "integer", "format": "int64"},
    OutputType.BOOL: {"type": "boolean"},
    OutputType.STRING: {"type": "string"},
}


def _value(output: OutputSpec) -> Json:
    value = _VALUES[output.value_type]
    return value | {"type": [value["type"], "null"]} if output.nullable else value


def _example_batch(spec: ModelSpec) -> Json:
    row = example_body(spec)
    if not spec.positional:
        return {"inputs": [row]}
    values = list(row.values())
    return {"inputs": values if spec.inputs[0].shape else [values]}


def _describe_submission(base: Json, schemas: Json, catalog: Catalog) -> None:
    # the named model validates the rows, so the schema can only say that a row is an array or an object
    (reference,), defined = msgspec.json.schema_components(
        [Submission], ref_template=_REF.format(model="{name}")
    )
    schemas |= defined
    rows = {"type": "array", "minItems": 1, "items": {"type": ["array", "object"]}}
    schemas["Submission"]["properties"]["inputs"] |= rows
    content: Json = {"schema": reference}
    if catalog.default is not None:
        spec = catalog.default.spec
        content["example"] = {"model": spec.name} | _example_batch(spec)
    operation: Json = base["paths"]["/jobs"]["post"]
    operation["requestBody"] = {"required": True, "content": {"application/json": content} | file_bodies()}
    operation["parameters"] = [*operation.get("parameters", ()), *submission_parameters()]


def _only_our_errors(base: Json, schemas: Json) -> None:
    """Replace FastAPI's 422 schema, which it adds to each route with a parameter, by our error bodies."""
    schemas["ErrorBody"] = ErrorBody.model_json_schema()
    listed = InvalidInputBody.model_json_schema(ref_template=_REF)
    schemas |= listed.pop("$defs") | {"InvalidInputBody": listed}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operation in (op for path in base["paths"].values() for op in path.values()):
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]


def _tag(spec: ModelSpec) -> Json:
    return {"name": spec.name, "description": spec.description}


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _reference(name: str) -> Json:
    return {"$ref": _REF.format(model=name)}


def _json_of(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def describe_access(document: dict[str, Any]) -> None:  # Any: JSON
    """Add the security schemes, and to each operation its required role and its access errors."""
    document["components"]["securitySchemes"] = _SECURITY_SCHEMES
    document["security"] = [{name: []} for name in _SECURITY_SCHEMES]
    for path, operations in document["paths"].items():
        rules = permissions_of(path)
        for method, operation in operations.items():
            rule = permission_of(method.upper(), rules)
            if rule is None or rule.open:
                operation["security"] = []
            else:
                _describe_rule(operation, rule)


def _describe_rule(operation: dict[str, Any], rule: Permission) -> None:
    needed = f"Requires an API key with the role `{rule.role}`." if rule.role else "Requires an API key."
    operation["description"] = f"{operation.get('description', '')}\n\n{needed}".strip()
    for status, response in of_errors(401, 403, 429).items():
        operation["responses"][str(status)] = {
            "description": response["description"],
            "content": _ERROR_CONTENT,
        }
