"""Events of an MLflow model registry: a version was registered, or an alias was set to a version.

MLflow sends them as webhooks, https://mlflow.org/docs/latest/ml/webhooks/. A registered version becomes the
version of a model: version 3 of `Failure Model` becomes `failure-model@3.0.0`, as by `takt models pull`.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from shared.errors import InvalidInputError
from shared.keys import ModelKey, model_key
from shared.specs import NAME

ADD_EVENT = (Path(__file__).parent / "scripts" / "add_registry_event.lua").read_text(encoding="utf-8")
_REGISTRATION = ("model_version", "created")
_ALIAS = ("model_version_alias", "created")


class RegistryEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version of a registered model that is to be published, and perhaps deployed."""

    registered: Annotated[str, Meta(pattern=r"^[^@/\x00-\x1f]{1,256}$")]
    """The model's name in MLflow."""
    number: Annotated[str, Meta(pattern=r"^[0-9]{1,9}$")]
    """The version's number in MLflow."""
    alias: str = ""  # that was set to it; empty: the version was registered
    at_us: int = 0  # microseconds since 1970 by MLflow's clock
    deploys: bool = False
    by: str = ""  # the principal of the request

    @property
    def model(self) -> str:
        return name_of_registered(self.registered)

    @property
    def version(self) -> str:
        return f"{int(self.number)}.0.0"

    @property
    def key(self) -> ModelKey:
        return model_key(self.model, self.version)

    @property
    def source(self) -> str:
        """The URI for `python -m worker new --mlflow`."""
        return f"mlflow:/{self.registered}/{self.number}"

    @property
    def id(self) -> str:
        """The same for each delivery of the event to one webhook. Another webhook may deploy it or not."""
        return f"{self.key}:{self.alias}:{self.at_us}:{'deploy' if self.deploys else 'publish'}"


class _Data(Struct, frozen=True):
    name: str = ""
    version: str = ""
    alias: str = ""


class _Payload(Struct, frozen=True):
    entity: str
    action: str
    timestamp: Annotated[datetime, Meta(tz=True)]
    data: _Data = _Data()


def name_of_registered(name: str) -> str:
    """The name of a registered model, as the name of a model of Takt; empty if none can be made of it."""
    found = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")
    return found if re.fullmatch(NAME, found) else ""


def read_event(body: bytes) -> RegistryEvent | None:
    """The event in the body of a webhook; None: it is of another kind. Raises InvalidInputError."""
    try:
        payload = msgspec.json.decode(body, type=_Payload)
        if (payload.entity, payload.action) not in (_REGISTRATION, _ALIAS):
            return None
        data = payload.data
        at_us = round(payload.timestamp.timestamp() * 1e6)
        fields = {"registered": data.name, "number": data.version, "alias": data.alias, "at_us": at_us}
        event = msgspec.convert(fields, RegistryEvent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise InvalidInputError(f"The body is not an event of MLflow: {error}") from None
    if not event.model:
        raise InvalidInputError(f"{data.name[:128]!r} cannot become the name of a model.")
    return event


def encode_event(event: RegistryEvent) -> bytes:
    return msgspec.json.encode(event)


def decode_event(text: bytes) -> RegistryEvent | None:
    """None if the record cannot be read, for example because a newer Takt wrote it."""
    try:
        return msgspec.json.decode(text, type=RegistryEvent)
    except msgspec.MsgspecError:
        return None
