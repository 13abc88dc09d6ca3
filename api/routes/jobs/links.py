"""`POST /jobs/{id}/links`: a signed URL from which a browser downloads a file of a job without an API key.

A download by URL goes directly to disk. A page that fetched the file with a key would hold it in memory.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self, TypeAlias
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from api.access.principal import Caller
from api.gateway import GatewayState
from api.http.error_answers import of_errors
from api.jobs.authorization import own_job
from api.jobs.job_views import as_json
from api.routes.jobs.results import ERROR_FORMATS
from shared.tabular.file_formats import RESULT_FORMATS, FileFormat

router = APIRouter()

ResultFormat: TypeAlias = Annotated[FileFormat, WithJsonSchema({"enum": [*RESULT_FORMATS], "type": "string"})]


class JobFile(StrEnum):
    """The files of a job that can be downloaded."""

    RESULTS = "results"
    ERRORS = "errors"
    INPUT = "input"
    MANIFEST = "manifest"


class LinkRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"part": "results", "format": "csv"}]}
    )

    part: JobFile
    format: ResultFormat | None = Field(None, description="As for `?format=`; the manifest is always JSON")
    partial: bool = Field(False, description="Results only: the rows that are done so far")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        available = {
            JobFile.RESULTS: RESULT_FORMATS,
            JobFile.ERRORS: ERROR_FORMATS,
            JobFile.INPUT: RESULT_FORMATS,
            JobFile.MANIFEST: (None,),
        }[self.part]
        if self.format is not None and self.format not in available:
            raise ValueError(f"{self.part} is not available as {self.format}")
        if self.partial and self.part is not JobFile.RESULTS:
            raise ValueError(f"{self.part} does not support partial")
        return self

    @property
    def query(self) -> bytes:
        fields = {"format": self.format, "partial": "true" if self.partial else None}
        return urlencode({name: value for name, value in fields.items() if value is not None}).encode()


class Link(BaseModel):
    """A download link that needs no API key."""

    url: str = Field(description="A path of this service, with its query")
    lasts_s: int | None = Field(
        description="Seconds within which the download must begin; null: the link does not expire, because "
        "this service requires no keys"
    )


@router.post("/jobs/{job_id}/links", response_model=Link, responses=of_errors(404, 410, 422, 503))
async def link(
    job_id: str, wanted: LinkRequest, request: Request, gateway: GatewayState, caller: Caller
) -> Response:
    """Create a link from which a browser downloads a file of the job.

    The link is valid for a minute and only for this file.
    """
    record = await own_job(gateway.jobs, caller, job_id)
    path = f"/jobs/{record.id}/{wanted.part}"
    url, lasts_s = gateway.access.authenticator.link(request.scope["headers"], path, wanted.query)
    return as_json(Link(url=url, lasts_s=lasts_s), 200, {"Cache-Control": "no-store"})
