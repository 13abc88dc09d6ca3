"""`GET /metrics`, for Prometheus: of this gateway."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from api.metrics.gateway import readings
from api.state import GatewayState
from shared.metrics.exposition import registry_of, text_of

router = APIRouter(tags=["metrics"])

_Accept = Annotated[str, Header(include_in_schema=False)]
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text"}
}
"""As FastAPI takes it (Any: its own type)."""


@router.get("/metrics", response_class=Response, responses=_TEXT)
async def metrics(gateway: GatewayState, accept: _Accept = "") -> Response:
    """What this gateway counts, for Prometheus."""
    content, media_type = text_of(registry_of(lambda: readings(gateway)), accept)
    return Response(content, media_type=media_type)
