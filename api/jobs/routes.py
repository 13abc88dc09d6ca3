"""The routes below /jobs, as the application takes them."""

from fastapi import APIRouter

from api.jobs import control, events, links, listing, manifest, reading, results, submission

router = APIRouter(tags=["jobs"])
for part in (submission, listing, reading, events, results, manifest, links, control):
    router.include_router(part.router)
