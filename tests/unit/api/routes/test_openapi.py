"""The OpenAPI document describes the predictions of every model as the gateway serves them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from api.app import create_app
from api.gateway import Gateway
from api.http.error_status import STATUS
from shared import errors
from shared.errors import OperatorError, ServiceError
from shared.settings import Settings
from tests.unit.gateway_fakes import MODELS, REPOSITORY, FakeRedis


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:  # Any: FastAPI's own type is not needed here
    settings = Settings(models_dir=MODELS, payload_url=tmp_path_factory.mktemp("payloads").as_uri())
    return create_app(settings, FakeRedis())


@pytest.fixture(scope="module")
def document(app: Any) -> dict[str, Any]:
    found: dict[str, Any] = app.openapi()
    return found


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)


@pytest.mark.parametrize("model", sorted(REPOSITORY.specs))
def test_each_model_has_its_own_schemas_and_an_example_that_is_valid(
    app: Any, document: dict[str, Any], model: str
) -> None:
    gateway: Gateway = app.state.gateway
    spec = REPOSITORY.spec(model)
    for prefix in (f"/models/{model}", f"/models/{model}/versions/{spec.default_version}"):
        operation = document["paths"][f"{prefix}/predict"]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        schema = document["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]
        assert list(schema["properties"]) == spec.input_names
        assert operation["tags"] == [model]
        batch = document["paths"][f"{prefix}/predict/batch"]["post"]
        examples = [o["requestBody"]["content"]["application/json"]["example"] for o in (operation, batch)]
        validator = gateway.catalog.find(model).validator
        assert validator.read_one(httpx.Request("POST", "http://x", json=examples[0]).content)
        assert validator.read_batch(httpx.Request("POST", "http://x", json=examples[1]).content)


NAMED = """
name = "named"
framework = "scikit-learn"
default_version = "1.0.0"
outputs = [{ name = "불량 확률", view = "value" }]
inputs = [
    { name = "Air temperature [K]", type = "float", example = 300.5 },
    { name = "온도(℃)", type = "float", example = 1.5 },
    { name = 'a "quoted", name', type = "float", example = 1.5 },
    { name = "7", type = "float", example = 1.5 },
]
"""


def document_of(folder: Path, name: str, declaration: str) -> dict[str, Any]:
    """The document of a gateway with a single model."""
    (folder / name / "1.0.0").mkdir(parents=True)
    (folder / name / "model.toml").write_text(declaration, encoding="utf-8")
    manifest = json.loads((MODELS / "iris" / "1.0.0" / "manifest.json").read_bytes()) | {"model": name}
    del manifest["manifest_sha256"]
    (folder / name / "1.0.0" / "manifest.json").write_text(json.dumps(manifest))
    settings = Settings(models_dir=folder, payload_url=folder.as_uri(), default_model=name)
    found: dict[str, Any] = create_app(settings, FakeRedis()).openapi()
    return found


def test_names_are_described_as_they_are(tmp_path: Path) -> None:
    found = document_of(tmp_path, "named", NAMED)
    validate(found)
    schemas = found["components"]["schemas"]
    names = ["Air temperature [K]", "온도(℃)", 'a "quoted", name', "7"]
    assert list(schemas["NamedInput"]["properties"]) == names
    assert list(schemas["NamedPredictions"]["properties"]["results"]["items"]["properties"]) == ["불량 확률"]


def test_the_response_of_a_model_is_its_outputs(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert list(schemas["IrisPrediction"]["properties"]) == ["prediction", "confidence", "model_version"]
    assert list(schemas["ClassifierPrediction"]["properties"]) == ["predicted_class", "probabilities"]
    assert list(schemas["IrisPredictions"]["properties"]) == ["results", "total_count"]


def test_every_error_of_a_prediction_is_declared(document: dict[str, Any]) -> None:
    responses = document["paths"]["/predict"]["post"]["responses"]
    assert {"200", "404", "413", "415", "422", "500", "503", "504"} <= set(responses)
    assert "HTTPValidationError" not in str(document)


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_pages_need_nothing_from_the_internet(app: Any, page: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        html = (await http.get(page)).text
        assert "//cdn" not in html
        assert "googleapis" not in html
        for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js"):
            assert (await http.get(f"/static-offline-docs/{asset}")).status_code == 200


def test_every_code_that_a_client_may_see_has_a_status() -> None:
    def below(root: type[ServiceError]) -> set[type[ServiceError]]:
        return {root}.union(*(below(child) for child in root.__subclasses__()))

    seen = {e.code for e in below(ServiceError) - below(OperatorError)} | {errors.PayloadError.code}
    assert seen <= set(STATUS)


def test_a_repository_with_only_wrong_specs_still_starts(tmp_path: Path) -> None:
    (tmp_path / "models" / "bad").mkdir(parents=True)
    (tmp_path / "models" / "bad" / "model.toml").write_text("name = 5")
    settings = Settings(models_dir=tmp_path / "models", payload_url=(tmp_path / "p").as_uri())
    assert create_app(settings, FakeRedis()).openapi()["paths"]["/health"]


TYPED = """
name = "typed"
framework = "scikit-learn"
default_version = "1.0.0"
inputs = [{ name = "x", type = "float", example = 1.5 }]
outputs = [
    { name = "color", view = "label", column = 0, classes = ["blue", "red"] },
    { name = "cluster", view = "value", method = "predict", type = "int64" },
    { name = "passed", view = "value", method = "passed", type = "bool" },
    { name = "remark", view = "value", method = "remark", type = "string", nullable = true },
    { name = "code", view = "tensor", method = "transform", type = "float32", shape = [2, 3] },
]
"""


def test_the_response_declares_the_types_of_the_outputs(tmp_path: Path) -> None:
    found = document_of(tmp_path, "typed", TYPED)
    validate(found)
    properties = found["components"]["schemas"]["TypedPrediction"]["properties"]
    del properties["model_version"]
    assert properties == {
        "color": {"type": "string", "enum": ["blue", "red"]},
        "cluster": {"type": "integer", "format": "int64"},
        "passed": {"type": "boolean"},
        "remark": {"type": ["string", "null"]},
        "code": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {
                "type": "array",
                "minItems": 3,
                "maxItems": 3,
                "items": {"type": "number", "format": "float"},
            },
        },
    }


def test_the_document_is_made_again_only_if_the_models_changed(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "iris", tmp_path / "models" / "iris")
    app = create_app(Settings(models_dir=tmp_path / "models", payload_url=tmp_path.as_uri()))
    made = app.openapi()
    assert app.openapi() is made
    shutil.copytree(MODELS / "classifier", tmp_path / "models" / "classifier")
    app.state.gateway.catalog.reload()
    assert "/models/classifier/predict" not in made["paths"]
    assert "/models/classifier/predict" in app.openapi()["paths"]
