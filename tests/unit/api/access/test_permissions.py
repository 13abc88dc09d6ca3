"""Every endpoint is in the permission table and enforces it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from api.access.permissions import ENDPOINTS, Permission
from api.app import create_app
from api.gateway import Gateway
from api.online.prediction_paths import predict_path_of
from shared.api_keys import Role
from shared.settings import Settings
from tests.support.access import Holder, holder, keep
from tests.unit.gateway_fakes import MODELS, FakeRedis
from tests.unit.job_stage import job_stage

HOLDERS = {role: holder(role.value, role.value) for role in Role}
REVOKED = holder("revoked", "admin", revoked_at_ms=2)
EXPIRED = holder("expired", "admin", expires_at_ms=2)
LIMITED = holder("limited", "read", models=("iris",))
FILLED = {
    "name": "iris",
    "version": "1.0.0",
    "job_id": "0" * 32,
    "model": "iris",
    "path": "redoc.standalone.js",
    "letter": "1-0",
    "key": "0" * 12,
    "owner": "nobody",
}
CALLS = [(method, path) for path, rules in ENDPOINTS.items() for method in rules]


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    client = FakeRedis()
    await keep(client, *HOLDERS.values(), REVOKED, EXPIRED, LIMITED)
    async with job_stage(client, tmp_path, access="keys") as (gateway, http):
        await looked(gateway)
        yield http


async def looked(gateway: Gateway) -> None:
    await gateway.access.authenticator.look()


async def call(http: httpx.AsyncClient, method: str, path: str, key: Holder | None) -> httpx.Response:
    url = re.sub(r"{(\w+)(:\w+)?}", lambda found: FILLED[found[1]], path)
    headers = {"accept": "application/problem+json"} | (dict(key.headers) if key else {})
    return await http.request(method, url, headers=headers)  # the same form of errors from every protocol


def served(app_folder: Path) -> Iterator[tuple[str, str]]:
    """All methods and paths of the application's routes."""
    app = create_app(Settings(models_dir=MODELS, payload_url=app_folder.as_uri()), FakeRedis())
    for route in iter_route_contexts(app.router.routes):
        path = getattr(route, "path", None) or route.original_route.path  # type: ignore[attr-defined]
        methods = getattr(route, "methods", None) or {"GET"}
        for method in methods - {"HEAD"}:
            yield method, path


def test_every_route_of_the_application_stands_in_the_table(tmp_path: Path) -> None:
    """A new route needs an entry in `api/access/permissions.py`."""
    routes = {(m, "/static-offline-docs/{path:path}" if "static" in p else p) for m, p in served(tmp_path)}
    assert routes - set(CALLS) == set()
    predictions = {call for call in CALLS if predict_path_of(call[1]) is not None}
    assert set(CALLS) - routes == predictions, "these are answered before the routes"


async def test_an_endpoint_needs_a_valid_key_unless_it_is_open(
    http: httpx.AsyncClient,
) -> None:
    for method, path in CALLS:
        for key in (None, REVOKED, EXPIRED):
            answer = await call(http, method, path, key)
            if ENDPOINTS[path][method].open:
                assert answer.status_code not in (401, 403), path
            else:
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
                assert "Bearer" in answer.headers["www-authenticate"]


READERS = {Role.READ, Role.OPERATE, Role.AUDIT}


def is_permitted(rule: Permission, role: Role) -> bool:
    """Whether a key with only this role may use an endpoint."""
    if rule.open or rule.role in (None, role) or role is Role.ADMIN:
        return True
    return (rule.role is Role.READ and role in READERS) or (rule.audited and role is Role.AUDIT)


async def test_audit_reads_what_operators_and_administrators_read_and_changes_nothing(
    http: httpx.AsyncClient,
) -> None:
    for method, path in CALLS:
        rule = ENDPOINTS[path][method]
        if rule.role is None or rule.open:
            continue
        status = (await call(http, method, path, HOLDERS[Role.AUDIT])).status_code
        reads = method == "GET" or path == "/jobs/{job_id}/links"
        assert (status != 403) is reads, (method, path, status)


@pytest.mark.parametrize("role", Role)
async def test_an_endpoint_answers_only_keys_with_its_role(http: httpx.AsyncClient, role: Role) -> None:
    for method, path in CALLS:
        rule = ENDPOINTS[path][method]
        answer = await call(http, method, path, HOLDERS[role])
        if is_permitted(rule, role):
            assert answer.status_code not in (401, 403), (path, answer.text)
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


async def test_what_shows_the_whole_service_is_not_for_keys_that_are_limited_to_models(
    http: httpx.AsyncClient,
) -> None:
    whole = [(m, p) for m, p in CALLS if ENDPOINTS[p][m].whole]
    assert whole
    for method, path in whole:
        assert (await call(http, method, path, LIMITED)).status_code == 403


async def test_a_path_that_is_not_in_the_table_answers_404(http: httpx.AsyncClient) -> None:
    assert (await call(http, "GET", "/nothing", None)).status_code == 401
    assert (await call(http, "GET", "/nothing", HOLDERS[Role.ADMIN])).status_code == 404
    refused = await call(http, "PUT", "/jobs", HOLDERS[Role.ADMIN])
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")


async def test_a_browser_may_send_its_key_as_a_password_to_read_the_document(http: httpx.AsyncClient) -> None:
    asked = await http.get("/openapi.json")
    assert asked.headers["www-authenticate"].startswith("Basic ")
    token = HOLDERS[Role.READ].token
    assert (await http.get("/openapi.json", auth=("me", token))).status_code == 200
    assert (await http.get("/models", auth=("me", token))).status_code == 401


async def test_the_openapi_document_marks_the_operations_that_need_a_key(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json", headers=HOLDERS[Role.ADMIN].headers)).json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "api_key"}
    assert document["paths"]["/health"]["get"]["security"] == []
    predict = document["paths"]["/models/iris/predict"]["post"]
    assert "security" not in predict
    assert {"401", "403"} <= set(predict["responses"])
    assert "role `predict`" in predict["description"]
