"""`takt keys`: creates, lists and revokes API keys, and sets their owners' shares.

The queue stores everything but the secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import redis
import typer

from shared import keys
from shared.api_keys import (
    DEFAULT_SHARE,
    KeyRecord,
    Share,
    decode_key,
    decode_share,
    encode_key,
    encode_share,
)
from shared.key_requests import (
    NO_CHANGE,
    KeyRequest,
    ShareChange,
    changed,
    key_document,
    made,
    moment,
    moment_or_none,
    outdated,
    share_document,
    state_of,
)
from stack.command_errors import CommandError
from stack.redis_url import opened_queue
from stack.up_output import show


def create_key(data: Path, request: KeyRequest, *, as_json: bool) -> None:
    """Create a key and print its token, once. Raises CommandError."""
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
        typer.echo(f"All keys of {record.name} together have: {_share_text(share)}.", err=True)


def show_keys(data: Path, *, as_json: bool) -> None:
    """Print the stored keys, oldest first. Raises CommandError if no queue answers."""
    with _store(data) as store:
        now_ms, used, shares = store.now_ms(), store.last_used(), store.shares()
        records = sorted(store.all(), key=lambda record: record.created_at_ms)
    if as_json:
        for record in records:
            share = shares.get(record.name, DEFAULT_SHARE)
            typer.echo(msgspec.json.encode(key_document(record, share, now_ms, used.get(record.id))))
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
        typer.echo(msgspec.json.encode({"name": name} | share_document(share)))
    else:
        typer.echo(f"All keys of {name} together have: {_share_text(share) or 'weight 1, no limit'}.")


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


# -- storage ----------------------------------------------------------------------------------------


class StoredKeys:
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
        gone, nameless = outdated(self.all(), record, now_ms)
        change = self._client.pipeline(transaction=True)
        if gone:
            change.hdel(keys.access_keys(), *gone).hdel(keys.access_used(), *gone)
        if nameless:
            change.hdel(keys.access_shares(), *nameless)
        change.hset(keys.access_keys(), record.id, encode_key(record)).incr(keys.access_version())
        change.execute()


@contextmanager
def _store(data: Path) -> Iterator[StoredKeys]:
    with opened_queue(data) as client:
        yield StoredKeys(client)


# -- output ------------------------------------------------------------------------------------------------


def _row(record: KeyRecord, share: Share, now_ms: int, used_ms: int | None) -> list[str]:
    return [
        record.id,
        record.name,
        ", ".join(sorted(record.roles)),
        ", ".join(record.models) or "all",
        _limits(record, share),
        state_of(record, now_ms),
        moment(record.created_at_ms),
        moment_or_none(record.expires_at_ms) or "never",
        moment_or_none(used_ms) or "never",
    ]


def _limits(record: KeyRecord, share: Share) -> str:
    rows = "" if record.rows_per_day is None else f"{record.rows_per_day} rows/day"
    return ", ".join(filter(None, (record.rate, rows, _share_text(share)))) or "none"


def _description(record: KeyRecord) -> str:
    models = f"models {', '.join(record.models)}" if record.models else "all models"
    until = f", valid until {moment(record.expires_at_ms)}" if record.expires_at_ms else ""
    return f"key {record.id} of {record.name}, for {', '.join(sorted(record.roles))} on {models}{until}"


def _share_text(share: Share) -> str:
    """Returns the values that differ from the default, as text."""
    parts = (
        f"weight {share.weight:g}" if share.weight != 1 else "",
        f"{share.max_running_rows} running rows" if share.max_running_rows is not None else "",
        f"{share.max_jobs} jobs" if share.max_jobs is not None else "",
    )
    return ", ".join(filter(None, parts))
