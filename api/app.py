"""The gateway's ASGI application. `create_app` builds it; `python -m api` serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Never

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from redis.asyncio import Redis
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Scope

from api.access.auth_middleware import AuthMiddleware
from api.gateway import Gateway
from api.http.cors import with_cors
from api.http.hosts_and_proxies import OpenGatewayGuard, TrustedProxies
from api.http.parameter_errors import fields_of, invalid_parameters
from api.http.request_middleware import RequestMiddleware
from api.http.security_headers import SecurityHeaders
from api.processes.siblings import Siblings
from api.routes import (
    console,
    deployments,
    inference_protocol,
    jobs,
    models,
    registry_webhooks,
    scoring,
    shadow_views,
    signing_in,
    version_uploads,
    versions,
)
from api.routes.http_semantics import HttpSemantics, MethodTable
from api.routes.jobs.shortcuts import JobShortcuts
from api.routes.metrics import prometheus_endpoints as metrics
from api.routes.openapi.document import OpenApiDocument
from api.routes.operations import (
    conditions,
    health,
    installation,
    key_administration,
    letter_administration,
    past_nights,
    recent_history,
    storage,
    worker_control,
    workers,
)
from api.routes.predict import Predictions
from shared import VERSION
from shared.errors import OperatorError
from shared.settings import Settings

DESCRIPTION = "Online predictions and batch jobs of machine-learning models, served from a queue."


def create_app(settings: Settings, client: Redis | None = None, siblings: Siblings | None = None) -> FastAPI:
    """Build the application of a gateway. `client` replaces the Redis client of the settings.

    Raises SpecError if there is no model repository.
    """
    gateway = Gateway(settings, client, siblings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        prepare_routes(app)
        await gateway.start()
        if siblings is not None:
            await siblings.start(lambda accept: metrics.own_text(gateway, accept)[0])
        try:
            async with serving_grpc(gateway):
                yield
        finally:
            if siblings is not None:
                siblings.close()
            await gateway.close()

    app = FastAPIOffline(
        title="Takt",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        # Takt times its own stages; these would cost time in each request, even if they are not configured
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.gateway = gateway
    app.include_router(health.router)
    app.include_router(models.router)
    app.include_router(version_uploads.router)
    app.include_router(versions.router)
    app.include_router(registry_webhooks.router)
    app.include_router(inference_protocol.router)
    app.include_router(deployments.router)
    app.include_router(shadow_views.router)
    app.include_router(scoring.router)
    app.include_router(jobs.router)
    app.include_router(conditions.router)
    app.include_router(workers.router)
    for admin in (worker_control, letter_administration, storage, installation, key_administration):
        app.include_router(admin.router)
    app.include_router(metrics.router)
    app.include_router(recent_history.router)
    app.include_router(past_nights.router)
    app.include_router(console.router)
    app.include_router(signing_in.router)
    app.add_exception_handler(Exception, _to_envelope)
    app.add_exception_handler(HTTPException, _to_envelope)
    app.add_exception_handler(RequestValidationError, _to_envelope)
    guarded = gateway.access.authenticator.asks
    app.openapi = OpenApiDocument(app, gateway.catalog, guarded=guarded)  # type: ignore[method-assign]  # as FastAPI documents it
    framework = app.build_middleware_stack

    def stack() -> ASGIApp:
        """CORS, request middleware, prediction routes and authentication, outside the framework's stack."""
        safe = SecurityHeaders(MethodTable(JobShortcuts(framework(), gateway)))
        routes = (
            AuthMiddleware(safe, gateway.access.authenticator, gateway.access.limiter) if guarded else safe
        )
        surface: ASGIApp = HttpSemantics(Predictions(routes, gateway))
        if gateway.host_names is not None:
            surface = OpenGatewayGuard(surface, gateway.host_names, settings.origins())
        whole = with_cors(
            RequestMiddleware(
                surface, gateway.lifecycle, gateway.telemetry, access_log=gateway.settings.access_log
            ),
            settings.origins(),
        )
        return TrustedProxies(whole, settings.trusted_proxies) if settings.trusted_proxies else whole

    app.build_middleware_stack = stack  # type: ignore[method-assign]
    return app


def prepare_routes(app: FastAPI) -> None:
    """Let FastAPI prepare all routes now. It would do so at the first request of each router, and delay the
    predictions of that moment by up to 0.1 s."""
    scope: Scope = {"type": "http", "method": "GET", "path": "/-", "root_path": "", "headers": []}
    for route in app.router.routes:
        route.matches(scope)


@asynccontextmanager
async def serving_grpc(gateway: Gateway) -> AsyncIterator[None]:
    """Serve gRPC while the block runs, if its port is set.

    Raises OperatorError if its packages are missing, or it cannot listen.
    """
    port = gateway.settings.grpc_port
    if port is None:
        yield
        return
    try:
        from api.rpc.grpc_server import serving
    except ModuleNotFoundError as error:
        raise OperatorError(f"TAKT_GRPC_PORT needs the extra `takt-server[grpc]`: {error}") from None
    async with serving(gateway, port):
        yield


async def _to_envelope(request: Request, error: Exception) -> Never:
    """Pass the error on to `RequestMiddleware`. FastAPI's own handlers would write another error format."""
    if isinstance(error, RequestValidationError):
        raise invalid_parameters(error, fields_of(request)) from None
    raise error
