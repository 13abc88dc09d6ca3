"""The server's metadata and health."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.gateway import GatewayState
from shared import VERSION

router = APIRouter()

EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
]
"""The extensions that work. `schedule_policy` does not."""


class ServerMetadata(BaseModel):
    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    live: bool


class ServerReady(BaseModel):
    """Both names, since the protocol's text says `live`, and KServe's client reads `ready`."""

    live: bool
    ready: bool


@router.get("/v2")
async def server_metadata() -> ServerMetadata:
    """Name, version and extensions of the server."""
    return ServerMetadata(name="takt", version=VERSION, extensions=EXTENSIONS)


@router.get("/v2/health/live")
async def server_live() -> ServerLive:
    """Liveness: the process runs."""
    return ServerLive(live=True)


@router.get("/v2/health/ready", responses={503: {"model": ServerReady}})
async def server_ready(gateway: GatewayState, response: Response) -> ServerReady:
    """Readiness: Redis answers, a live worker holds the default model, and no shutdown has begun."""
    ready = gateway.ready()
    response.status_code = 200 if ready else 503
    return ServerReady(live=ready, ready=ready)
