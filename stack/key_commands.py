"""`takt keys`: creates, lists and revokes API keys, and sets their owners' shares.

The queue stores everything but the secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import redis
import typer

from shared import keys
from shared.api_keys import (
    DEFAULT_SHARE,
    KeyRecord,
    Role,
    Share,
    decode_key,
    decode_share,
    digest_of,
    encode_key,
    encode_share,
    is_name,
    is_rate,
    new_token,
)
from stack.command_errors import CommandError
from stack.key_shares import NO_CHANGE, ShareChange, as_text, changed, document
from stack.live_workers import connect
from stack.redis_url import queue_url
from stack.up_output import show

KEPT_DAYS = 90
"""How long an invalid key stays in the list."""
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


@dataclass(frozen=True)
class KeyRequest:
    """The properties of a new key."""

    name: str
    roles: Sequence[str] = ()
    """Empty: all but deploy and admin."""
    models: Sequence[str] = ()
    expires_in: str | None = None
    rate: str | None = None
    rows_per_day: int | None = None
    share: ShareChange = NO_CHANGE
    """The owner's share, which applies to all keys with this name."""


def create_key(data: Path, request: KeyRequest, *, as_json: bool) -> None:
    """Create a key and print its token, once. Raises CommandError."""
    if not is_name(request.name):
        raise CommandError(
            f"{request.name!r} is not a valid key name: use a-z, 0-9, dot, dash and underscore, at most 63"
        )
    with _store(data) as store:
        record, token = made(request, store.now_ms())
        sharing = [key.id for key in store.all() if key.name == record.name and key.good(store.now_ms())]
        share = changed(store.shares().get(record.name, DEFAULT_SHARE), request.share)
        store.put(record)
        if request.share != NO_CHANGE:
            store.put_share(record.name, share)
    if as_json:
        typer.echo(msgspec.json.encode({"id": record.id, "name": record.name, "key": token}))
        return
    typer.echo(token)
    typer.echo(
        f"\nThe key is shown only once. It is {_description(record)}.\n"
        "Send it as `Authorization: Bearer takt_…`, or set TAKT_API_KEY for the SDK and the takt program.",
        err=True,
    )
    if sharing:
        typer.echo(f"It shares its jobs with {', '.join(sharing)}, also named {record.name}.", err=True)
    if share != DEFAULT_SHARE:
        typer.echo(f"All keys of {record.name} together have: {as_text(share)}.", err=True)


def show_keys(data: Path, *, as_json: bool) -> None:
    """Print the stored keys, oldest first. Raises CommandError if no queue answers."""
    with _store(data) as store:
        now_ms, used, shares = store.now_ms(), store.last_used(), store.shares()
        records = sorted(store.all(), key=lambda record: record.created_at_ms)
    if as_json:
        for record in records:
            share = shares.get(record.name, DEFAULT_SHARE)
            typer.echo(msgspec.json.encode(_document(record, share, now_ms, used.get(record.id))))
        return
    columns = ("id", "name", "roles", "models", "limits", "state", "created", "expires", "last used")
    rows = [
        _row(record, shares.get(record.name, DEFAULT_SHARE), now_ms, used.get(record.id))
        for record in records
    ]
    show(columns, rows, empty="no keys; create a key with takt keys create NAME")


def set_share(data: Path, owner: str, change: ShareChange, *, as_json: bool) -> None:
    """Change the share of an owner, given by name or by the id of one of its keys. Raises CommandError."""
    if change == NO_CHANGE:
        raise CommandError("nothing to set: give --weight, --max-running-rows or --max-jobs")
    with _store(data) as store:
        names = {record.id: record.name for record in store.all()}
        name = names.get(owner, owner)
        if name not in names.values():
            raise CommandError(f"no key has the name or id {owner}; list the keys with takt keys list")
        share = changed(store.shares().get(name, DEFAULT_SHARE), change)
        store.put_share(name, share)
    if as_json:
        typer.echo(msgspec.json.encode({"name": name} | document(share)))
    else:
        typer.echo(f"All keys of {name} together have: {as_text(share) or 'weight 1, no limit'}.")


def revoke_keys(data: Path, ids: Sequence[str]) -> None:
    """Revoke keys. Raises CommandError, and revokes none, if an id does not exist."""
    with _store(data) as store:
        known = {record.id: record for record in store.all()}
        if missing := [key_id for key_id in ids if key_id not in known]:
            raise CommandError(f"no key has the id {', '.join(missing)}; list the ids with takt keys list")
        now_ms = store.now_ms()
        for key_id in ids:
            revoked = known[key_id].revoked_at_ms or now_ms
            store.put(msgspec.structs.replace(known[key_id], revoked_at_ms=revoked))
    typer.echo(f"{', '.join(ids)} revoked; takes effect on every gateway within two seconds.")


# -- records -----------------------------------------------------------------------------------------------


def made(request: KeyRequest, now_ms: int) -> tuple[KeyRecord, str]:
    """Returns a new key and its token. Raises CommandError."""
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
        raise CommandError(f"unknown role: {', '.join(wrong)}; valid roles: {', '.join(Role)}")
    return frozenset(map(Role, words)) or frozenset(Role) - {Role.DEPLOY, Role.ADMIN}


def _rate(text: str) -> str:
    if text and not is_rate(text):
        raise CommandError(
            f"{text!r} is not a rate: use N/second, N/minute, N/hour or N/day, such as 100/second"
        )
    return text


def state_of(record: KeyRecord, now_ms: int) -> str:
    if record.good(now_ms):
        return "good"
    return "expired" if record.revoked_at_ms is None else "revoked"


def is_forgotten(record: KeyRecord, now_ms: int) -> bool:
    """Whether the key has been invalid for more than `KEPT_DAYS`."""
    ends = [moment for moment in (record.revoked_at_ms, record.expires_at_ms) if moment is not None]
    return bool(ends) and min(ends) + KEPT_DAYS * _UNITS_MS["d"] < now_ms


def _span_ms(text: str) -> int:
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text)
    if found is None or int(found[1]) == 0:
        raise CommandError(f"{text!r} is not a duration: use a number and m, h, d or w, such as 90d")
    return int(found[1]) * _UNITS_MS[found[2]]


# -- storage ----------------------------------------------------------------------------------------


class KeyStore:
    """The keys in Redis. Methods raise redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client  # Any: redis-py's union of reply types

    def now_ms(self) -> int:
        """Returns the time of Redis' clock."""
        seconds, micros = self._client.time()
        return int(seconds * 1000 + micros // 1000)

    def all(self) -> list[KeyRecord]:
        found = map(decode_key, self._client.hvals(keys.access_keys()))
        return [record for record in found if record is not None]

    def last_used(self) -> dict[str, int]:
        """Returns key id → time of last use in ms, accurate to a minute."""
        return {key.decode(): int(ms) for key, ms in self._client.hgetall(keys.access_used()).items()}

    def shares(self) -> dict[str, Share]:
        """Returns owner → share, for shares that differ from the default."""
        found = self._client.hgetall(keys.access_shares())
        return {owner.decode(): decode_share(text) for owner, text in found.items()}

    def put_share(self, owner: str, share: Share) -> None:
        """Store an owner's share, and signal the change to all gateways."""
        change = self._client.pipeline(transaction=True)
        change.hset(keys.access_shares(), owner, encode_share(share)).incr(keys.access_version())
        change.execute()

    def put(self, record: KeyRecord) -> None:
        """Store a key, delete keys that expired long ago, and signal the change to all gateways."""
        now_ms = self.now_ms()
        known = self.all()
        gone = {key.id for key in known if is_forgotten(key, now_ms)}
        kept_names = {key.name for key in known if key.id not in gone} | {record.name}
        nameless = {key.name for key in known} - kept_names
        change = self._client.pipeline(transaction=True)
        if gone:
            change.hdel(keys.access_keys(), *gone).hdel(keys.access_used(), *gone)
        if nameless:
            change.hdel(keys.access_shares(), *nameless)
        change.hset(keys.access_keys(), record.id, encode_key(record)).incr(keys.access_version())
        change.execute()


@contextmanager
def _store(data: Path) -> Iterator[KeyStore]:
    try:
        with connect(queue_url(data)) as client:
            yield KeyStore(client)
    except redis.RedisError as error:
        raise CommandError(f"the queue does not answer: {error}") from error


# -- output ------------------------------------------------------------------------------------------------


def _row(record: KeyRecord, share: Share, now_ms: int, used_ms: int | None) -> list[str]:
    return [
        record.id,
        record.name,
        ", ".join(sorted(record.roles)),
        ", ".join(record.models) or "all",
        _limits(record, share),
        state_of(record, now_ms),
        _moment(record.created_at_ms),
        _moment_or_none(record.expires_at_ms) or "never",
        _moment_or_none(used_ms) or "never",
    ]


def _document(record: KeyRecord, share: Share, now_ms: int, used_ms: int | None) -> dict[str, object]:
    """Returns the JSON document of a key. Times are RFC 3339; the digest is left out."""
    return {
        "id": record.id,
        "name": record.name,
        "roles": sorted(record.roles),
        "models": list(record.models),
        "rate": record.rate or None,
        "rows_per_day": record.rows_per_day,
        **document(share),
        "state": state_of(record, now_ms),
        "created_at": _moment(record.created_at_ms),
        "expires_at": _moment_or_none(record.expires_at_ms),
        "last_used_at": _moment_or_none(used_ms),
    }


def _limits(record: KeyRecord, share: Share) -> str:
    rows = "" if record.rows_per_day is None else f"{record.rows_per_day} rows/day"
    return ", ".join(filter(None, (record.rate, rows, as_text(share)))) or "none"


def _description(record: KeyRecord) -> str:
    models = f"models {', '.join(record.models)}" if record.models else "all models"
    until = f", valid until {_moment(record.expires_at_ms)}" if record.expires_at_ms else ""
    return f"key {record.id} of {record.name}, for {', '.join(sorted(record.roles))} on {models}{until}"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment_or_none(at_ms: int | None) -> str | None:
    return None if at_ms is None else _moment(at_ms)
