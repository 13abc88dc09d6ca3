"""What Prometheus asks a gateway for: what it counts, and where the workers tell what they count."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel

from api.routes.dependencies import GatewayState
from api.routes.metrics import cluster
from api.routes.metrics.cluster import look
from api.routes.metrics.gateway import readings
from shared.metrics.exposition import Readings, registry_of, text_of

router = APIRouter(tags=["metrics"])

_Accept = Annotated[str, Header(include_in_schema=False)]
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text"}
}
"""As FastAPI takes it (Any: its own type)."""


class Targets(BaseModel):
    """As Prometheus' `http_sd_configs` takes it."""

    targets: list[str]
    labels: dict[str, str]


@router.get("/metrics", response_class=Response, responses=_TEXT)
async def metrics(gateway: GatewayState, accept: _Accept = "") -> Response:
    """What this gateway counts, for Prometheus."""
    content, media_type = text_of(registry_of(lambda: readings(gateway)), accept)
    return Response(content, media_type=media_type)


@router.get("/metrics/cluster", response_class=Response, responses=_TEXT)
async def cluster_metrics(gateway: GatewayState, accept: _Accept = "") -> Response:
    """What waits, who works, and how the queue does: the same from every gateway, to be scraped once."""
    found = await look(gateway)
    content, media_type = text_of(Readings(lambda: cluster.readings(found)), accept)
    return Response(content, media_type=media_type)


@router.get("/metrics/targets")
async def targets(gateway: GatewayState) -> list[Targets]:
    """Where the live workers that export metrics are scraped, for Prometheus' `http_sd_configs`."""
    workers = sorted(gateway.fleet.now.workers, key=lambda worker: worker.id)
    return [
        Targets(targets=[worker.metrics_address], labels={"instance": worker.name})
        for worker in workers
        if worker.metrics_address
    ]
