"""Prometheus endpoints: metrics of this gateway, metrics of the cluster, scrape targets of the workers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from prometheus_client.registry import Collector
from pydantic import BaseModel

from api.gateway import Gateway, GatewayState
from api.routes.metrics import cluster_metrics as cluster
from api.routes.metrics.cluster_metrics import look
from api.routes.metrics.gateway_metrics import readings
from shared.metrics.exposition import Labelled, Readings, merged, registry_of, text_of
from shared.metrics.metric import PROCESS_SLOT

router = APIRouter(tags=["metrics"])

_Accept = Annotated[str, Header(include_in_schema=False)]
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/plain": {"schema": {"type": "string"}}},
        "description": "Metrics in the Prometheus text format",
    }
}
"""FastAPI's `responses` (Any: FastAPI's own type)."""


class Targets(BaseModel):
    """An entry for Prometheus' `http_sd_configs`."""

    targets: list[str]
    labels: dict[str, str]


@router.get("/metrics", response_class=Response, responses=_TEXT)
async def metrics(gateway: GatewayState, accept: _Accept = "") -> Response:
    """Metrics of this gateway for Prometheus, of all its processes."""
    content, media_type = own_text(gateway, accept)
    if gateway.siblings is not None:
        content = merged([content, *await gateway.siblings.ask(accept)])
    return Response(content, media_type=media_type)


def own_text(gateway: Gateway, accept: str) -> tuple[bytes, str]:
    """The metrics of this process and their media type; one of several processes labels them."""
    registry: Collector = registry_of(lambda: readings(gateway))
    if gateway.siblings is not None:
        registry = Labelled(registry, PROCESS_SLOT, gateway.siblings.label)
    return text_of(registry, accept)


@router.get("/metrics/cluster", response_class=Response, responses=_TEXT)
async def cluster_metrics(gateway: GatewayState, accept: _Accept = "") -> Response:
    """Metrics of queue, workers and lanes. Every gateway returns the same values; scrape only one gateway."""
    found = await look(gateway)
    content, media_type = text_of(Readings(lambda: cluster.readings(found)), accept)
    return Response(content, media_type=media_type)


@router.get("/metrics/targets")
async def targets(gateway: GatewayState) -> list[Targets]:
    """Addresses of the live workers that export metrics, for Prometheus' `http_sd_configs`."""
    workers = sorted(gateway.fleet.now.workers, key=lambda worker: worker.id)
    return [
        Targets(targets=[worker.metrics_address], labels={"instance": worker.name})
        for worker in workers
        if worker.metrics_address
    ]
