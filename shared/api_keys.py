"""API keys and their permissions, as stored in Redis. The secrets are not stored.

takt_3f9c1a7e52b0_Zk3…         `takt_{id}_{secret}`: the secret has 256 random bits, so a plain SHA-256 is
                               enough; it cannot be guessed, and needs no key stretching
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
"""The owner of all jobs if no API key is required."""
_ID_BYTES, _SECRET_BYTES = 6, 32
_RATE = re.compile(r"[1-9]\d{0,8}/(second|minute|hour|day)")
_ID = re.compile(rf"[0-9a-f]{{{2 * _ID_BYTES}}}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,62}")


class Role(StrEnum):
    """The permissions of a key. Roles add up; `api/access/permissions.py` maps endpoints to roles."""

    PREDICT = "predict"  # online predictions
    SUBMIT = "submit"  # submit jobs and control the owner's jobs
    READ = "read"  # read the owner's jobs and results, and the state of the service
    DEPLOY = "deploy"  # publish model versions, and change which of them are served
    OPERATE = "operate"  # drain and restart workers, dead letters, storage; includes `read`
    AUDIT = "audit"  # read everything, of all owners; change nothing
    ADMIN = "admin"  # everything, including keys and the jobs of all owners


DEFAULT_ROLES = frozenset((Role.PREDICT, Role.SUBMIT, Role.READ))
"""The roles of a key that names none."""


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An API key. Keys with the same name belong to the same owner, so that a key can be replaced."""

    id: str
    name: str
    sha256: str
    """SHA-256 of the whole token, in hex."""
    roles: frozenset[Role]
    models: tuple[str, ...] = ()
    """The models that the key may use; empty: all."""
    rate: str = ""
    """Limit of requests, such as `100/second`; empty: no limit."""
    rows_per_day: int | None = None
    created_at_ms: int
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    session: bool = False
    """Whether a browser holds it in a cookie, since a person signed in."""

    def good(self, now_ms: float) -> bool:
        """Whether the key is valid at this time (Redis' clock)."""
        return self.revoked_at_ms is None and (self.expires_at_ms is None or now_ms < self.expires_at_ms)

    def fits(self, token: bytes) -> bool:
        """Whether this is the key's token, compared in constant time."""
        return hmac.compare_digest(digest_of(token), self.sha256)


class Share(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The share and the limits of an owner, over all keys of this name."""

    weight: float = 1.0
    """Weight in the fair order: an owner of weight 2 gets twice the rows of an owner of weight 1."""
    max_running_rows: int | None = None
    """Limit of the owner's job rows that run at the same time; None: no limit. A larger chunk runs alone."""
    max_jobs: int | None = None
    """Limit of unfinished jobs; None: no limit."""


DEFAULT_SHARE = Share()


def new_token() -> tuple[str, str]:
    """The id and the token of a new key; the token is shown to its holder once."""
    key_id = secrets.token_hex(_ID_BYTES)
    return key_id, f"{MARK}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def key_id_of(token: bytes) -> str:
    """The public part of a token; empty if the token has another form."""
    mark, _, rest = token.partition(b"_")
    return rest.partition(b"_")[0].decode("latin-1") if mark == b"takt" else ""


def is_key_id(text: str) -> bool:
    """Whether the text has the form of an id of `new_token`."""
    return _ID.fullmatch(text) is not None


def digest_of(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


def is_rate(text: str) -> bool:
    """Whether the text is a request limit, such as `100/second`."""
    return _RATE.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether the text is a valid owner name: it becomes a part of Redis keys."""
    return _NAME.fullmatch(text) is not None and text != OPEN_OWNER


def encode_key(record: KeyRecord) -> bytes:
    return msgspec.json.encode(record)


def decode_key(text: bytes) -> KeyRecord | None:
    """None if the record cannot be read: such a key is invalid."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return None


def encode_share(share: Share) -> bytes:
    return msgspec.json.encode(share)


def decode_share(text: bytes) -> Share:
    """The default if the record cannot be read, as in the ledger's scripts."""
    try:
        return _share_decoder.decode(text)
    except msgspec.MsgspecError:
        return DEFAULT_SHARE


_share_decoder = msgspec.json.Decoder(Share)
_decoder = msgspec.json.Decoder(KeyRecord)
