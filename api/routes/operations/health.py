"""Health checks: service, liveness, readiness."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.gateway import GatewayState

router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: Literal["healthy", "degraded"]
    uptime_seconds: float
    models_loaded: list[str]


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    status: Literal["ready", "not_ready"]
    queue: bool
    default_model: bool
    draining: bool


@router.get("/health")
async def health(request: Request, gateway: GatewayState) -> Health:
    """Health of the whole service: `healthy` if Redis answers and a live worker holds a model.

    Needs no API key; if keys are required, requests without a key get no model names.
    """
    caller = gateway.access.authenticator.authenticate_optional(request.scope["headers"])
    loaded = gateway.fleet.now.model_names if gateway.queue.open else []
    return Health(
        status="healthy" if loaded else "degraded",
        uptime_seconds=round(gateway.lifecycle.uptime_s, 1),
        models_loaded=list(filter(caller.sees, loaded)),
    )


@router.get("/health/live")
async def live() -> Alive:
    """Liveness: the process runs. Checks no dependency."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Readiness}})
async def ready(gateway: GatewayState, response: Response) -> Readiness:
    """Readiness: Redis answers, a live worker holds the default model, and no shutdown has begun."""
    is_ready = gateway.ready()
    response.status_code = 200 if is_ready else 503
    return Readiness(
        status="ready" if is_ready else "not_ready",
        queue=gateway.queue.open,
        default_model=gateway.holds_default(),
        draining=gateway.lifecycle.draining,
    )
