"""Doorbells as they lie in Celery's list: which of them Celery may be given. No I/O.

kombu ends the whole worker over an item that is no message, and Celery throws away what it does not know:
what is not exactly a doorbell never reaches them.
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


class _Headers(msgspec.Struct):
    id: str
    task: str


class _Item(msgspec.Struct):
    """kombu's envelope, as far as a doorbell needs it."""

    body: str
    properties: _Properties
    headers: _Headers
    content_type: str = msgspec.field(name="content-type")


_item = msgspec.json.Decoder(_Item)
_body = msgspec.json.Decoder(tuple[tuple[str], dict[str, Any], dict[str, Any]])


def problem_of(item: bytes) -> str:
    """Why an item is no doorbell; empty where it is one."""
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
        return f"it is no doorbell: {error}"
    return ""
