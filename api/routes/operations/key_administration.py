"""API keys: create, list, revoke; and the shares of their owners."""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from api.access.key_store import KeyStore
from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from shared.key_requests import KeyRequest, ShareChange, share_document

router = APIRouter(tags=["operations"])
log = structlog.get_logger()

_ERRORS = of_errors(404, 422, 503)


class ShareRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    weight: float | None = Field(None, description="Weight in the fair order; None: unchanged")
    max_running_rows: NonNegativeInt | None = Field(None, description="0: no limit; None: unchanged")
    max_jobs: NonNegativeInt | None = Field(None, description="0: no limit; None: unchanged")

    @property
    def change(self) -> ShareChange:
        return ShareChange(self.weight, self.max_running_rows, self.max_jobs)


class NewKey(ShareRequest):
    name: str = Field(description="The key's owner. Keys with the same name share their jobs")
    roles: list[str] = Field([], description="Default: `predict`, `submit`, `read`")
    models: list[str] = Field([], description="The models that the key may use. Default: all")
    expires_in: str | None = Field(None, description="Lifetime, such as `90d`. Default: it never expires")
    rate: str | None = Field(None, description="Limit of requests, such as `100/second`")
    rows_per_day: PositiveInt | None = Field(None, description="Limit of rows")


class CreatedKey(BaseModel):
    id: str
    name: str
    key: str = Field(description="The key. It is shown only here: Takt stores its digest")


class ApiKey(BaseModel):
    id: str
    name: str
    roles: list[str]
    models: list[str] = Field(description="Empty: all")
    rate: str | None
    rows_per_day: int | None
    weight: float
    max_running_rows: int | None
    max_jobs: int | None
    state: Annotated[str, Field(description="`good`, `expired` or `revoked`")]
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class ApiKeys(BaseModel):
    keys: list[ApiKey] = Field(description="The oldest first")


class OwnerShare(BaseModel):
    weight: float
    max_running_rows: int | None
    max_jobs: int | None


@router.get("/keys", responses=of_errors(503))
async def list_keys(gateway: GatewayState) -> ApiKeys:
    """List the API keys, without their secrets."""
    return ApiKeys.model_validate({"keys": await _store(gateway).documents()})


@router.post("/keys", status_code=201, responses=_ERRORS)
async def create_key(asked: NewKey, gateway: GatewayState, caller: Caller) -> CreatedKey:
    """Create an API key. It is shown only in this answer."""
    given: dict[str, Any] = asked.model_dump(exclude=set(ShareRequest.model_fields))
    record, token = await _store(gateway).create(KeyRequest(**given, share=asked.change))
    log.info("key_created", key=record.id, owner=record.name, roles=sorted(record.roles), by=caller.name)
    return CreatedKey(id=record.id, name=record.name, key=token)


@router.delete("/keys/{key}", responses=_ERRORS)
async def revoke_key(key: str, gateway: GatewayState, caller: Caller) -> ApiKey:
    """Revoke an API key. Every gateway refuses it within two seconds."""
    found = await _store(gateway).revoke(key)
    log.info("key_revoked", key=key, by=caller.name)
    return ApiKey.model_validate(found)


@router.patch("/owners/{owner}", responses=_ERRORS)
async def change_owner(owner: str, asked: ShareRequest, gateway: GatewayState, caller: Caller) -> OwnerShare:
    """Change the weight and the limits of an owner: its name, or the id of one of its keys."""
    share = await _store(gateway).change_share(owner, asked.change)
    log.info("share_changed", owner=owner, by=caller.name)
    return OwnerShare.model_validate(share_document(share))


def _store(gateway: Gateway) -> KeyStore:
    gateway.queue.require()
    return KeyStore(gateway.client)
