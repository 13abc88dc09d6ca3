"""The shadow of a deployment with its figures, and `GET /models/{name}/shadow/rows`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.jobs.job_views import moment
from api.models.catalog import Catalog
from shared import keys
from shared.deployments import Deployment
from shared.errors import InvalidInputError
from shared.input_changes import incompatibility, wire_order
from shared.shadowing import MOST_ROWS_KEPT, DifferingRow, Shadow, ShadowCount, ShadowFigures

router = APIRouter(tags=["deployments"])


class ShadowView(BaseModel):
    """Figures are rows since the last change of the deployment, over all gateways and workers."""

    version: str
    share: float = Field(description="Of the requests that other versions answer")
    tolerance: float
    compared: int
    agreed: int
    differed: int = Field(description="Both versions answered, and not alike")
    failed: int = Field(description="Only the shadow version failed")
    dropped: int = Field(description="Not compared, since no worker was idle in time")
    disagreement: float = Field(description="Share of the compared rows that differed or failed")
    p50_ms: float | None = Field(description="Of the model calls of the shadow version")
    p99_ms: float | None


class ShadowRow(BaseModel):
    at: datetime
    version: str = Field(description="The version that answered")
    shadow_version: str
    inputs: dict[str, Any]
    answer: dict[str, Any]
    shadow_answer: dict[str, Any] | None
    error: str | None


class ShadowRows(BaseModel):
    model: str
    rows: list[ShadowRow] = Field(description="The newest first")


def shadow_view(shadow: Shadow, found: ShadowFigures) -> ShadowView:
    return ShadowView(
        version=shadow.version,
        share=shadow.share,
        tolerance=shadow.tolerance,
        compared=found.compared,
        agreed=found.counts[ShadowCount.AGREED],
        differed=found.counts[ShadowCount.DIFFERED],
        failed=found.counts[ShadowCount.FAILED],
        dropped=found.counts[ShadowCount.DROPPED],
        disagreement=found.disagreement,
        p50_ms=found.latency_ms(0.5),
        p99_ms=found.latency_ms(0.99),
    )


def require_shadowable(catalog: Catalog, deployment: Deployment) -> None:
    """Raises InvalidInputError if the shadow version cannot run the requests of the version that it is
    compared with: in a rollout the one that is replaced, else the default."""
    shadow, rollout = deployment.shadow, deployment.rollout
    if shadow is None:
        return
    model = deployment.model
    answering = rollout.of if rollout and rollout.shadows else deployment.target.default
    before, after = (catalog.repository.spec_of(model, one) for one in (answering, shadow.version))
    if wire_order(before, after) is None:
        why = incompatibility(before, after) or "an input is nullable in one of them only"
        raise InvalidInputError(f"{model}@{shadow.version} cannot be a shadow of {model}@{answering}: {why}.")


@router.get("/models/{name}/shadow/rows", responses=of_errors(404, 422, 503))
async def shadow_rows(
    name: str,
    gateway: GatewayState,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS_KEPT)] = 100,
) -> ShadowRows:
    """Rows on which a shadow version disagreed, if its model.toml has `keep_differing_rows = true`."""
    gateway.catalog.find(name, caller=caller)
    stored = await _stored(gateway, name, limit)
    return ShadowRows(model=name, rows=[_row(text) for text in stored])


async def _stored(gateway: Gateway, model: str, limit: int) -> list[bytes]:
    client: Any = gateway.client  # Any: redis-py's union of RESP2 and RESP3 answers
    found: list[bytes] = await client.lrange(keys.shadow_rows(model), 0, limit - 1)
    return found


def _row(text: bytes) -> ShadowRow:
    row = msgspec.json.decode(text, type=DifferingRow)
    return ShadowRow(
        at=moment(row.at_ms),
        version=row.version,
        shadow_version=row.shadow_version,
        inputs=row.inputs,
        answer=row.answer,
        shadow_answer=row.shadow_answer,
        error=row.error or None,
    )
