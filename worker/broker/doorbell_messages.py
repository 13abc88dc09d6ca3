"""Validates doorbells in Celery's list before kombu reads them. No I/O.

A doorbell is a Celery message that names a model version with ready chunks. kombu ends the whole worker if an
item is no message, and Celery discards unknown tasks, so only exact doorbells are passed to them.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any

import msgspec

from shared.doorbells import TASK

_JSON = "application/json"


class _Properties(msgspec.Struct):
    delivery_tag: str
    delivery_info: dict[str, Any]  # Any: kombu's own
    body_encoding: str


class _TaskHeaders(msgspec.Struct):
    id: str
    task: str


class _Item(msgspec.Struct):
    """kombu's envelope, limited to the fields of a doorbell."""

    body: str
    properties: _Properties
    headers: _TaskHeaders
    content_type: str = msgspec.field(name="content-type")


_item = msgspec.json.Decoder(_Item)
_body = msgspec.json.Decoder(tuple[tuple[str], dict[str, Any], dict[str, Any]])


def problem_of(item: bytes) -> str:
    """Why an item is not a doorbell; empty if it is."""
    try:
        found = _item.decode(item)
        if found.content_type != _JSON:
            return f"its content type is {found.content_type!r}, not {_JSON}"
        if found.headers.task != TASK:
            return f"its task is {found.headers.task!r}, not {TASK}"
        if found.properties.body_encoding != "base64":
            return f"its body is encoded as {found.properties.body_encoding!r}, not base64"
        _body.decode(b64decode(found.body, validate=True))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, binascii.Error) as error:
        return f"it is not a doorbell: {error}"
    return ""
