"""`POST /jobs/{id}/links`: an address from which a browser saves one of a job's files without a key, for a
minute. What is saved so goes to the disk as it comes; a page would have to hold all of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Self
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.access.principal import Asker
from api.http.errors import of_errors
from api.jobs.authorization import own_job
from api.jobs.views import as_json
from api.routes.dependencies import GatewayState
from api.routes.jobs.results import ERROR_FORMATS
from shared.tabular.result_formats import ResultFormat

router = APIRouter()


class JobFile(StrEnum):
    """What a job has to be saved."""

    RESULTS = "results"
    ERRORS = "errors"
    MANIFEST = "manifest"


class LinkRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"part": "results", "format": "csv"}]}
    )

    part: JobFile
    format: ResultFormat | None = Field(None, description="As in `?format=`; the manifest is always JSON")
    partial: bool = Field(False, description="Results: what there is")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        there = {
            JobFile.RESULTS: tuple(ResultFormat),
            JobFile.ERRORS: ERROR_FORMATS,
            JobFile.MANIFEST: (None,),
        }[self.part]
        if self.format is not None and self.format not in there:
            raise ValueError(f"{self.part} is not written as {self.format}")
        if self.partial and self.part is not JobFile.RESULTS:
            raise ValueError(f"{self.part} takes no partial")
        return self

    @property
    def query(self) -> bytes:
        said = {"format": self.format, "partial": "true" if self.partial else None}
        return urlencode({name: value for name, value in said.items() if value is not None}).encode()


class Link(BaseModel):
    """Where a file is saved from, without a key, if that begins in time."""

    url: str = Field(description="A path of this service, with its query")
    lasts_s: int | None = Field(description="Until the download must have begun; null: no key is asked for")


@router.post("/jobs/{job_id}/links", response_model=Link, responses=of_errors(404, 410, 422, 503))
async def link(
    job_id: str, wanted: LinkRequest, request: Request, gateway: GatewayState, asker: Asker
) -> Response:
    """An address from which a browser can save a file of the job. It opens nothing else, for a minute."""
    record = await own_job(gateway.jobs, asker, job_id)
    path = f"/jobs/{record.id}/{wanted.part}"
    url, lasts_s = gateway.access.authenticator.link(request.scope["headers"], path, wanted.query)
    return as_json(Link(url=url, lasts_s=lasts_s), 200, {"Cache-Control": "no-store"})
