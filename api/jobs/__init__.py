"""/jobs: work that is handed over now and fetched later. All of a job's state is the ledger's."""

from fastapi import APIRouter

from api.jobs import reading, results, submission

router = APIRouter(tags=["jobs"])
for part in (submission, reading, results):
    router.include_router(part.router)

__all__ = ["router"]
