"""/jobs: work that is handed over now and fetched later. All of a job's state is the ledger's."""

from fastapi import APIRouter

from api.jobs import control, events, links, listing, manifest, reading, results, submission

router = APIRouter(tags=["jobs"])
for part in (submission, listing, reading, events, results, manifest, links, control):
    router.include_router(part.router)

__all__ = ["router"]
