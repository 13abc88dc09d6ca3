"""What `takt keys` does: make API keys, show them, set their owners' shares, revoke them.

The queue keeps all but their secrets.
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
from shared.access import (
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
from stack.errors import CommandError
from stack.heartbeats import connect
from stack.running import queue_url
from stack.shares import NO_CHANGE, ShareChange, changed, document, in_words
from stack.tables import show

KEPT_DAYS = 90
"""How long a key that opens nothing any more stays in the list."""
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


@dataclass(frozen=True)
class KeyRequest:
    """What a new key is to be."""

    name: str
    roles: Sequence[str] = ()
    """None: all but admin."""
    models: Sequence[str] = ()
    expires_in: str | None = None
    rate: str | None = None
    rows_per_day: int | None = None
    share: ShareChange = NO_CHANGE
    """Of its owner, and thus of all keys of this name."""


def create_key(data: Path, wish: KeyRequest, *, as_json: bool) -> None:
    """Make a key, and show its token: this once. Raises Refusal."""
    if not is_name(wish.name):
        raise CommandError(
            f"{wish.name!r} is no name for a key: a-z, 0-9, dot, dash and underscore, 63 at most"
        )
    with _store(data) as store:
        record, token = made(wish, store.now_ms())
        sharing = [key.id for key in store.all() if key.name == record.name and key.good(store.now_ms())]
        share = changed(store.shares().get(record.name, DEFAULT_SHARE), wish.share)
        store.put(record)
        if wish.share != NO_CHANGE:
            store.put_share(record.name, share)
    if as_json:
        typer.echo(msgspec.json.encode({"id": record.id, "name": record.name, "key": token}))
        return
    typer.echo(token)
    typer.echo(
        f"\nThis is the only time that it is shown. It is {_in_words(record)}; send it as\n"
        "  Authorization: Bearer takt_…     or set TAKT_API_KEY for the client and the takt program.",
        err=True,
    )
    if sharing:
        typer.echo(f"It shares its jobs with {', '.join(sharing)}, also named {record.name}.", err=True)
    if share != DEFAULT_SHARE:
        typer.echo(f"All keys of {record.name} together have: {in_words(share)}.", err=True)


def show_keys(data: Path, *, as_json: bool) -> None:
    """Every key that is kept, the oldest first. Raises Refusal where no queue answers."""
    with _store(data) as store:
        now_ms, used, shares = store.now_ms(), store.last_used(), store.shares()
        records = sorted(store.all(), key=lambda record: record.created_at_ms)
    if as_json:
        for record in records:
            share = shares.get(record.name, DEFAULT_SHARE)
            typer.echo(msgspec.json.encode(_document(record, share, now_ms, used.get(record.id))))
        return
    columns = ("id", "name", "roles", "models", "limits", "state", "created", "expires", "last used, about")
    rows = [
        _row(record, shares.get(record.name, DEFAULT_SHARE), now_ms, used.get(record.id))
        for record in records
    ]
    show(columns, rows, empty="there is no key; takt keys create NAME makes one")


def set_share(data: Path, owner: str, change: ShareChange, *, as_json: bool) -> None:
    """Change the share of an owner, named by its name or by one of its keys' ids. Raises Refusal."""
    if change == NO_CHANGE:
        raise CommandError("nothing to set: give --weight, --max-running-rows or --max-jobs")
    with _store(data) as store:
        names = {record.id: record.name for record in store.all()}
        name = names.get(owner, owner)
        if name not in names.values():
            raise CommandError(
                f"there is no key named {owner}, nor one of this id; takt keys list shows them"
            )
        share = changed(store.shares().get(name, DEFAULT_SHARE), change)
        store.put_share(name, share)
    if as_json:
        typer.echo(msgspec.json.encode({"name": name} | document(share)))
    else:
        typer.echo(f"All keys of {name} together have: {in_words(share) or 'weight 1, no limit'}.")


def revoke_keys(data: Path, ids: Sequence[str]) -> None:
    """Have keys open nothing any more. Raises Refusal, and revokes none, where one is not there."""
    with _store(data) as store:
        known = {record.id: record for record in store.all()}
        if missing := [key_id for key_id in ids if key_id not in known]:
            raise CommandError(f"there is no key {', '.join(missing)}; takt keys list shows their ids")
        now_ms = store.now_ms()
        for key_id in ids:
            revoked = known[key_id].revoked_at_ms or now_ms
            store.put(msgspec.structs.replace(known[key_id], revoked_at_ms=revoked))
    typer.echo(f"{', '.join(ids)} revoked; every gateway knows within two seconds.")


# -- deciding ----------------------------------------------------------------------------------------------


def made(wish: KeyRequest, now_ms: int) -> tuple[KeyRecord, str]:
    """A fresh key and its token. Raises Refusal."""
    key_id, token = new_token()
    record = KeyRecord(
        id=key_id,
        name=wish.name,
        sha256=digest_of(token.encode()),
        roles=_roles(wish.roles),
        models=tuple(sorted(set(wish.models))),
        rate=_rate(wish.rate or ""),
        rows_per_day=wish.rows_per_day,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + _span_ms(wish.expires_in) if wish.expires_in else None,
    )
    return record, token


def _roles(words: Sequence[str]) -> frozenset[Role]:
    if wrong := sorted(set(words) - set(Role)):
        raise CommandError(f"{', '.join(wrong)}: there is no such role; there are: {', '.join(Role)}")
    return frozenset(map(Role, words)) or frozenset(Role) - {Role.ADMIN}


def _rate(text: str) -> str:
    if text and not is_rate(text):
        raise CommandError(f"{text!r} is no rate: a number a second, minute, hour or day, such as 100/second")
    return text


def state_of(record: KeyRecord, now_ms: int) -> str:
    if record.good(now_ms):
        return "good"
    return "expired" if record.revoked_at_ms is None else "revoked"


def is_forgotten(record: KeyRecord, now_ms: int) -> bool:
    """Whether it has opened nothing for so long that nobody asks for it."""
    ends = [moment for moment in (record.revoked_at_ms, record.expires_at_ms) if moment is not None]
    return bool(ends) and min(ends) + KEPT_DAYS * _UNITS_MS["d"] < now_ms


def _span_ms(text: str) -> int:
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text)
    if found is None or int(found[1]) == 0:
        raise CommandError(f"{text!r} is no time: a number and m, h, d or w, such as 90d")
    return int(found[1]) * _UNITS_MS[found[2]]


# -- the queue's side --------------------------------------------------------------------------------------


class KeyStore:
    """The keys as the queue keeps them. Methods raise redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client  # Any: redis-py's union of what it may answer

    def now_ms(self) -> int:
        """By Redis' clock."""
        seconds, micros = self._client.time()
        return int(seconds * 1000 + micros // 1000)

    def all(self) -> list[KeyRecord]:
        found = map(decode_key, self._client.hvals(keys.access_keys()))
        return [record for record in found if record is not None]

    def last_used(self) -> dict[str, int]:
        """Key id → when, in ms; noted once a minute."""
        return {key.decode(): int(ms) for key, ms in self._client.hgetall(keys.access_used()).items()}

    def shares(self) -> dict[str, Share]:
        """Owner → share, where it is not the default."""
        found = self._client.hgetall(keys.access_shares())
        return {owner.decode(): decode_share(text) for owner, text in found.items()}

    def put_share(self, owner: str, share: Share) -> None:
        """Have all gateways and the ledger see an owner's share."""
        change = self._client.pipeline(transaction=True)
        change.hset(keys.access_shares(), owner, encode_share(share)).incr(keys.access_version())
        change.execute()

    def put(self, record: KeyRecord) -> None:
        """Keep a key as it is now, drop those that are forgotten, and have all gateways see it."""
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


# -- words -------------------------------------------------------------------------------------------------


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
    """For scripts; times are RFC 3339, and the digest stays where it is."""
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
    return ", ".join(filter(None, (record.rate, rows, in_words(share)))) or "none"


def _in_words(record: KeyRecord) -> str:
    models = f"models {', '.join(record.models)}" if record.models else "every model"
    until = f", until {_moment(record.expires_at_ms)}" if record.expires_at_ms else ""
    return f"{record.name}'s key {record.id} for {', '.join(sorted(record.roles))} on {models}{until}"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment_or_none(at_ms: int | None) -> str | None:
    return None if at_ms is None else _moment(at_ms)
