"""Shadowing: a share of the online requests also runs on another version, and the answers are compared.

    gateway ── ShadowEntry ─▶ takt:shadow:{model}@{version} (bounded) ─▶ worker ─▶ counts, differing rows

The gateway sends an entry after it has answered. An entry that finds no room is dropped and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shared.history import BOUNDS_MS, quantile_ms
from shared.messages import Column, OutputColumn

SCHEMA = 1
MOST_ENTRIES = 200
"""Waiting entries of a version; further entries are dropped."""
MOST_ENTRY_BYTES = 65_536
"""Size of an entry; larger requests are not shadowed."""
ENTRIES_KEPT_S = 600
"""How long entries wait for an idle worker."""
COUNTS_KEPT_S = 30 * 86_400
MOST_ROWS_KEPT = 1000
"""Differing rows that are kept for a model."""
ROWS_KEPT_S = 7 * 86_400
_BUCKET = "ms"


class Shadow(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which version runs beside the others, and how often."""

    version: Annotated[str, Meta(max_length=128)]
    share: Annotated[float, Meta(gt=0, le=1)] = 0.1
    """Of the requests that other versions of the model have answered."""
    tolerance: Annotated[float, Meta(ge=0)] = 0.0
    """Absolute difference of numbers within which answers agree."""


class ShadowEntry(Struct, array_like=True, frozen=True):
    """The rows of a request, and the answer that its client got."""

    schema: int
    version: str  # that answered
    generation: int  # of the deployment, under which the rows are counted
    tolerance: float
    rows: int
    columns: list[Column]  # in the order of the shadow version's inputs
    outputs: list[str]  # names of the answer's columns
    answer: list[OutputColumn]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ShadowEntry)


def encode_shadow(entry: ShadowEntry) -> bytes:
    return _encoder.encode(entry)


def decode_shadow(data: bytes) -> ShadowEntry | None:
    """None if the entry cannot be read, for example because a newer Takt wrote it."""
    try:
        entry = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return entry if entry.schema == SCHEMA else None


class ShadowCount(StrEnum):
    """The counts of a shadow, in rows."""

    AGREED = "agreed"
    DIFFERED = "differed"  # both versions answered
    FAILED = "failed"  # only the shadow version failed
    DROPPED = "dropped"  # not compared, because no worker was idle in time


@dataclass
class ShadowFigures:
    """What was counted of a shadow in one generation of the deployment."""

    counts: Counter[ShadowCount] = field(default_factory=Counter)
    latencies: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    """Model calls of the shadow version by duration."""

    @property
    def compared(self) -> int:
        return self.counts.total() - self.counts[ShadowCount.DROPPED]

    @property
    def disagreeing(self) -> int:
        return self.counts[ShadowCount.DIFFERED] + self.counts[ShadowCount.FAILED]

    @property
    def disagreement(self) -> float:
        """The share of the compared rows on which the versions disagree, from 0 to 1."""
        return self.disagreeing / self.compared if self.compared else 0.0

    def latency_ms(self, share: float) -> float | None:
        return quantile_ms(self.latencies, share)


def latency_name(bucket: int) -> str:
    """The field of a latency bucket in the hash of counts."""
    return f"{_BUCKET}{bucket}"


def read_figures(fields: Mapping[Any, Any]) -> ShadowFigures:  # Any: redis-py's own types
    """The figures in a hash of counts; unreadable fields are ignored."""
    found = ShadowFigures()
    for raw, number in fields.items():
        name = raw.decode(errors="replace")
        bucket = name.removeprefix(_BUCKET)
        if not number.isdigit():
            continue
        if name in set(ShadowCount):
            found.counts[ShadowCount(name)] += int(number)
        elif bucket != name and bucket.isdigit() and int(bucket) < len(found.latencies):
            found.latencies[int(bucket)] += int(number)
    return found


class DifferingRow(Struct, frozen=True, kw_only=True):
    """A row on which two versions disagreed, if the model allows it to be kept."""

    at_ms: int
    version: str
    shadow_version: str
    inputs: dict[str, Any]  # Any: the model's inputs
    answer: dict[str, Any]
    shadow_answer: dict[str, Any] | None
    error: str = ""  # of the shadow version
