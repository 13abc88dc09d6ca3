"""`GET /status`: the health of the service, and its conditions."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.gateway import GatewayState
from api.routes.operations.worker_views import time_view
from shared.conditions import Severity, Standing, Status, status_of

router = APIRouter(tags=["operations"])


class ConditionView(BaseModel):
    """A condition that needs a person."""

    code: str
    severity: Severity
    since: datetime = Field(description="When a gateway first observed it, on the clock of Redis")
    subject: str = Field(description="A model version, worker, gateway …; empty: the service")
    message: str
    remedy: str
    parameters: dict[str, str | int | float] = Field(description="The values in the message, by name")


class StatusView(BaseModel):
    """The verdict on the installation, as a gateway observes it."""

    status: Status = Field(
        description="`trouble`: work stops or is lost; `warning`: a person should look today"
    )
    at: datetime = Field(description="Time of the observation")
    conditions: list[ConditionView] = Field(description="Worst first, without consequences of others")


@router.get("/status")
async def status(gateway: GatewayState) -> StatusView:
    """Is it healthy? Every condition that needs a person, with its remedy. It answers without Redis too."""
    standing = await gateway.status.standing()
    return StatusView(
        status=status_of(one.condition for one in standing),
        at=time_view(gateway.status.facts.now_ms),
        conditions=[condition_view(one) for one in standing],
    )


def condition_view(standing: Standing) -> ConditionView:
    condition = standing.condition
    return ConditionView(
        code=condition.code,
        severity=condition.kind.severity,
        since=time_view(standing.since_ms),
        subject=condition.subject,
        message=condition.message,
        remedy=condition.remedy,
        parameters=condition.parameters,
    )
