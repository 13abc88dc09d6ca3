"""API keys: who may do what, as the queue keeps it. The secret itself is kept nowhere.

takt_3f9c1a7e52b0_Zk3…         `takt_{id}_{secret}`: the secret is 256 random bits, so that one plain
                               SHA-256 guards it; there is nothing to guess, and nothing to stretch
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import StrEnum

import msgspec

MARK = "takt"
OPEN_OWNER = "anonymous"
"""Whose jobs are where no key is asked for."""
_ID_BYTES, _SECRET_BYTES = 6, 32
_RATE = re.compile(r"[1-9]\d{0,8}/(second|minute|hour|day)")
_ID = re.compile(rf"[0-9a-f]{{{2 * _ID_BYTES}}}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Role(StrEnum):
    """What a key may do. Roles add up; `api/access/permissions.py` says which endpoint asks for which."""

    PREDICT = "predict"  # have rows predicted while waiting
    SUBMIT = "submit"  # hand over jobs, and tell one's own what to do
    READ = "read"  # look: at one's own jobs and their results, at how the service does
    ADMIN = "admin"  # everything, and everybody's jobs


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One key. Keys of the same name are of the same owner, who may thus replace one and keep the jobs."""

    id: str
    name: str
    sha256: str
    """Of the whole token, in hex."""
    roles: frozenset[Role]
    models: tuple[str, ...] = ()
    """The models that it may see; none: all."""
    rate: str = ""
    """Requests a while, as `100/second`; empty: any number."""
    rows_per_day: int | None = None
    created_at_ms: int
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None

    def good(self, now_ms: float) -> bool:
        """Whether it opens anything at this time (Redis' clock)."""
        return self.revoked_at_ms is None and (self.expires_at_ms is None or now_ms < self.expires_at_ms)

    def fits(self, token: bytes) -> bool:
        """Whether this is its token; takes as long whatever the token is."""
        return hmac.compare_digest(digest_of(token), self.sha256)


class Share(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one owner may have of the service. All keys of its name have it together."""

    weight: float = 1.0
    """An owner of weight 2 gets twice the rows of one of weight 1 while both have work."""
    max_running_rows: int | None = None
    """Rows of its jobs' chunks that run at once; none: any number. A larger chunk runs alone."""
    max_jobs: int | None = None
    """Jobs that have not ended; none: any number."""


DEFAULT_SHARE = Share()


def new_token() -> tuple[str, str]:
    """A fresh key's id, and the token that its holder is shown once."""
    key_id = secrets.token_hex(_ID_BYTES)
    return key_id, f"{MARK}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def key_id_of(token: bytes) -> str:
    """The public part of a token; empty where it is none."""
    mark, _, rest = token.partition(b"_")
    return rest.partition(b"_")[0].decode("latin-1") if mark == b"takt" else ""


def is_key_id(text: str) -> bool:
    """Whether `new_token` could have made this id."""
    return _ID.fullmatch(text) is not None


def digest_of(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


def is_rate(text: str) -> bool:
    """Whether it says so many requests a while."""
    return _RATE.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether a key's owner may be called so: it becomes a part of keys in Redis."""
    return _NAME.fullmatch(text) is not None and text != OPEN_OWNER


def encode_key(record: KeyRecord) -> bytes:
    return msgspec.json.encode(record)


def decode_key(text: bytes) -> KeyRecord | None:
    """None where it is not readable: such a key opens nothing."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return None


def encode_share(share: Share) -> bytes:
    return msgspec.json.encode(share)


def decode_share(text: bytes) -> Share:
    """The default where it cannot be read, as the ledger's scripts have it."""
    try:
        return _share_decoder.decode(text)
    except msgspec.MsgspecError:
        return DEFAULT_SHARE


_share_decoder = msgspec.json.Decoder(Share)
_decoder = msgspec.json.Decoder(KeyRecord)
