"""Requests for new API keys and for other shares of their owners, and the documents that describe keys.

An owner is a name. All keys with that name use its share together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from shared.api_keys import DEFAULT_ROLES, KeyRecord, Role, Share, digest_of, is_name, is_rate, new_token
from shared.errors import InvalidInputError

KEPT_DAYS = 90
"""How long an invalid key stays in the list."""
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


@dataclass(frozen=True)
class ShareChange:
    """A change of a share. None leaves a value unchanged; a limit of 0 removes the limit."""

    weight: float | None = None
    max_running_rows: int | None = None
    max_jobs: int | None = None


NO_CHANGE = ShareChange()


@dataclass(frozen=True)
class KeyRequest:
    """The properties of a new key."""

    name: str
    roles: Sequence[str] = ()
    """Empty: `DEFAULT_ROLES`."""
    models: Sequence[str] = ()
    expires_in: str | None = None
    rate: str | None = None
    rows_per_day: int | None = None
    share: ShareChange = NO_CHANGE
    """The owner's share, which applies to all keys with this name."""


def made(request: KeyRequest, now_ms: int) -> tuple[KeyRecord, str]:
    """A new key and its token. Raises InvalidInputError."""
    if not is_name(request.name):
        raise InvalidInputError(
            f"{request.name!r} is not a valid key name: use a-z, 0-9, dot, dash and underscore, at most 63"
        )
    key_id, token = new_token()
    record = KeyRecord(
        id=key_id,
        name=request.name,
        sha256=digest_of(token.encode()),
        roles=_roles(request.roles),
        models=tuple(sorted(set(request.models))),
        rate=_rate(request.rate or ""),
        rows_per_day=request.rows_per_day,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + _span_ms(request.expires_in) if request.expires_in else None,
    )
    return record, token


def _roles(words: Sequence[str]) -> frozenset[Role]:
    if wrong := sorted(set(words) - set(Role)):
        raise InvalidInputError(f"unknown role: {', '.join(wrong)}; valid roles: {', '.join(Role)}")
    return frozenset(map(Role, words)) or DEFAULT_ROLES


def _rate(text: str) -> str:
    if text and not is_rate(text):
        raise InvalidInputError(
            f"{text!r} is not a rate: use N/second, N/minute, N/hour or N/day, such as 100/second"
        )
    return text


def _span_ms(text: str) -> int:
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text)
    if found is None or int(found[1]) == 0:
        raise InvalidInputError(f"{text!r} is not a duration: use a number and m, h, d or w, such as 90d")
    return int(found[1]) * _UNITS_MS[found[2]]


def changed(share: Share, change: ShareChange) -> Share:
    """The changed share. Raises InvalidInputError for an invalid weight."""
    if change.weight is not None and not 0 < change.weight < float("inf"):
        raise InvalidInputError(
            f"{change.weight:g} is not a weight: use a number greater than 0, such as 2 or 0.5"
        )
    given = {
        "weight": change.weight,
        "max_running_rows": change.max_running_rows or None,
        "max_jobs": change.max_jobs or None,
    }
    named = {name: value for name, value in given.items() if getattr(change, name) is not None}
    return msgspec.structs.replace(share, **named)


# -- stored keys -------------------------------------------------------------------------------------------


def state_of(record: KeyRecord, now_ms: int) -> str:
    """`good`, `expired` or `revoked`."""
    if record.good(now_ms):
        return "good"
    return "expired" if record.revoked_at_ms is None else "revoked"


def is_forgotten(record: KeyRecord, now_ms: int) -> bool:
    """Whether the key has been invalid for more than `KEPT_DAYS`."""
    ends = [moment for moment in (record.revoked_at_ms, record.expires_at_ms) if moment is not None]
    return bool(ends) and min(ends) + KEPT_DAYS * _UNITS_MS["d"] < now_ms


def outdated(known: Iterable[KeyRecord], added: KeyRecord, now_ms: int) -> tuple[set[str], set[str]]:
    """The ids of forgotten keys, and the owners that have no key left, once `added` is stored."""
    records = list(known)
    gone = {key.id for key in records if is_forgotten(key, now_ms)}
    kept = {key.name for key in records if key.id not in gone} | {added.name}
    return gone, {key.name for key in records} - kept


def share_document(share: Share) -> dict[str, object]:
    """The fields of a share in JSON."""
    return {
        "weight": share.weight,
        "max_running_rows": share.max_running_rows,
        "max_jobs": share.max_jobs,
    }


def key_document(record: KeyRecord, share: Share, now_ms: int, used_ms: int | None) -> dict[str, object]:
    """A key in JSON. Times are RFC 3339; the digest is left out."""
    return {
        "id": record.id,
        "name": record.name,
        "roles": sorted(record.roles),
        "models": list(record.models),
        "rate": record.rate or None,
        "rows_per_day": record.rows_per_day,
        **share_document(share),
        "state": state_of(record, now_ms),
        "created_at": moment(record.created_at_ms),
        "expires_at": moment_or_none(record.expires_at_ms),
        "last_used_at": moment_or_none(used_ms),
    }


def moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_or_none(at_ms: int | None) -> str | None:
    return None if at_ms is None else moment(at_ms)
