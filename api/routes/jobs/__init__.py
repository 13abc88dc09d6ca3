"""Job endpoints, joined in one router."""

from fastapi import APIRouter

from api.routes.jobs import (
    control,
    difference,
    events,
    links,
    listing,
    manifest,
    many,
    replay,
    results,
    stored_rows,
    submission,
)
from api.routes.jobs import detail as reading

__all__ = ["router"]

router = APIRouter(tags=["jobs"])
for part in (
    submission,
    listing,
    many,
    reading,
    events,
    results,
    stored_rows,
    manifest,
    links,
    replay,
    difference,
    control,
):
    router.include_router(part.router)
