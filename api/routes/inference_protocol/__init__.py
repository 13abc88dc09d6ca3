"""REST endpoints of the Open Inference Protocol under /v2, with the extensions that `server.py` lists."""

from fastapi import APIRouter

from api.routes.inference_protocol import model_metadata as models
from api.routes.inference_protocol import repository_index as repository
from api.routes.inference_protocol import server

router = APIRouter(tags=["inference protocol"])
router.include_router(server.router)
router.include_router(models.router)
router.include_router(repository.router)
