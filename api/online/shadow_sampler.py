"""Sends a share of the answered requests to the shadow versions of their models.

    InflightRequests ── answered ─▶ sample ─▶ (bounded queue) ─▶ takt:shadow:{model}@{version}

A request is sampled after its client has been answered, so that no answer waits. Without a shadow,
`InflightRequests.on_answer` is None, and a request costs nothing more.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.fleet.snapshot import Fleet
from api.models.catalog import Catalog, Servable
from api.online.inflight import Answered, InflightRequest, InflightRequests
from shared import keys
from shared.arrow_tables import result_schema
from shared.deployments import Deployment
from shared.errors import ModelNotFoundError
from shared.input_changes import wire_order
from shared.keys import ModelKey
from shared.messages import OutputColumn
from shared.shadowing import (
    COUNTS_KEPT_S,
    ENTRIES_KEPT_S,
    MOST_ENTRIES,
    MOST_ENTRY_BYTES,
    SCHEMA,
    Shadow,
    ShadowCount,
    ShadowEntry,
    encode_shadow,
)

log = structlog.get_logger()

_ADD = (Path(__file__).parent / "scripts" / "add_shadow_entries.lua").read_text(encoding="utf-8")
SENT, DROPPED = "sent", "dropped"


@dataclass(frozen=True)
class ShadowRoute:
    """The path of the answered requests of a version to its shadow."""

    answered: Servable
    key: ModelKey
    shadow: Shadow
    generation: int
    order: tuple[int, ...]
    """The place of each input of the shadow version in the request's columns."""
    outputs: list[str]


class ShadowSampler:
    """The shadow of every model, as this gateway samples it. `rows`: by shadow version and outcome."""

    def __init__(
        self,
        client: Redis,
        inflight: InflightRequests,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._inflight = inflight
        self._chance = chance
        self._routes: Mapping[ModelKey, ShadowRoute] = {}
        self._queued: deque[tuple[ShadowRoute, InflightRequest, Answered]] = deque()
        self._filled = asyncio.Event()
        self._add = client.register_script(_ADD)
        self.rows: Counter[tuple[ModelKey, str]] = Counter()

    def follow(self, deployments: Iterable[Deployment], catalog: Catalog, fleet: Fleet) -> None:
        """Sample by these deployments, for shadow versions that a live worker holds."""
        routes: dict[ModelKey, ShadowRoute] = {}
        for deployment in deployments:
            routes |= {route.answered.key: route for route in _routes(deployment, catalog, fleet)}
        self._routes = routes
        self._inflight.on_answer = self.sample if routes else None

    def sample(self, request: InflightRequest, answered: Answered) -> None:
        """Take note of an answered request, if chance decides so. Never raises."""
        route = self._routes.get(request.key)
        if route is None or self._chance() >= route.shadow.share:
            return
        if request.output_dtypes:  # sent before there was a shadow: its answer may be in binary
            return
        if len(self._queued) >= MOST_ENTRIES:
            self.rows[route.key, DROPPED] += request.rows
            return
        self._queued.append((route, request, answered))
        self._filled.set()

    async def write(self) -> None:
        """Wait for sampled requests, and send all of them. A background task repeats it."""
        await self._filled.wait()
        self._filled.clear()
        by_list: defaultdict[tuple[str, str, ModelKey], list[tuple[bytes, int]]] = defaultdict(list)
        while self._queued:
            route, request, answered = self._queued.popleft()
            model = route.answered.spec.name
            counts = keys.shadow_counts(model, route.generation)
            by_list[keys.shadow(route.key), counts, route.key] += _entries(route, request, answered)
        for (name, counts, key), entries in by_list.items():
            with suppress(RedisError, OSError):  # the reply reader reports it
                await self._send(name, counts, key, entries)

    async def _send(self, name: str, counts: str, key: ModelKey, entries: list[tuple[bytes, int]]) -> None:
        fits = [entry for entry in entries if len(entry[0]) <= MOST_ENTRY_BYTES]
        too_large = sum(rows for _, rows in entries) - sum(rows for _, rows in fits)
        flat = [part for entry in fits for part in entry]
        options = (MOST_ENTRIES, ENTRIES_KEPT_S, COUNTS_KEPT_S, str(ShadowCount.DROPPED))
        dropped = int(await self._add(keys=[name, counts], args=[*options, *flat])) if flat else 0
        self.rows[key, DROPPED] += dropped + too_large
        self.rows[key, SENT] += sum(rows for _, rows in fits) - dropped


def _routes(deployment: Deployment, catalog: Catalog, fleet: Fleet) -> Iterable[ShadowRoute]:
    shadow = deployment.shadow
    if shadow is None:
        return
    with suppress(ModelNotFoundError):  # not known here yet
        shadowing = catalog.find(deployment.model, shadow.version)
        if not fleet.matching_holders(shadowing.key):
            return
        for one in catalog:
            order = wire_order(one.spec, shadowing.spec) if one.spec.name == deployment.model else None
            if order is not None and one is not shadowing:
                names = result_schema(one.spec).names[:-1]
                yield ShadowRoute(one, shadowing.key, shadow, deployment.generation, order, names)


def _entries(route: ShadowRoute, request: InflightRequest, answered: Answered) -> list[tuple[bytes, int]]:
    """An entry for each part of a request, with its rows."""
    found, start = [], 0
    answer = cast("Sequence[OutputColumn]", answered.columns)  # `sample` takes no other
    for columns, rows in zip(request.parts, request.part_rows, strict=True):
        entry = ShadowEntry(
            SCHEMA,
            route.answered.version,
            route.generation,
            route.shadow.tolerance,
            rows,
            [columns[place] for place in route.order],
            route.outputs,
            [column[start : start + rows] for column in answer],
        )
        found.append((encode_shadow(entry), rows))
        start += rows
    return found
