"""Whether this gateway is alive, ready, and well."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.routes.dependencies import GatewayState

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
    """How the service does as a whole: `healthy` where Redis answers and a live worker holds a model.

    Where keys are asked for, it answers without one as well, and then names no model.
    """
    asker = gateway.access.authenticator.greet(request.scope["headers"])
    loaded = gateway.fleet.now.model_names if gateway.queue.open else []
    return Health(
        status="healthy" if loaded else "degraded",
        uptime_seconds=round(gateway.lifecycle.uptime_s, 1),
        models_loaded=list(filter(asker.sees, loaded)),
    )


@router.get("/health/live")
async def live() -> Alive:
    """This process runs. It needs nothing else."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Readiness}})
async def ready(gateway: GatewayState, response: Response) -> Readiness:
    """Redis answers, a live worker holds the default model, and this gateway is not being stopped."""
    is_ready = gateway.ready()
    response.status_code = 200 if is_ready else 503
    return Readiness(
        status="ready" if is_ready else "not_ready",
        queue=gateway.queue.open,
        default_model=gateway.holds_default(),
        draining=gateway.lifecycle.draining,
    )
