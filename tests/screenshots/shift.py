"""A night shift for the pictures: an hour of made-up load, and jobs that really run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import redis

from shared.history import Count, add_to_slot, count_field, latency_bucket, latency_field, slots_until
from shared.keys import ModelKey
from tests.support.callers import IRIS, finished, handed_over

QUALITY, CLASSIFIER = ModelKey("quality@1.0.0"), ModelKey("classifier@1.0.0")
HEAD = (
    "part,machine,product,shift,resin_lot,melt_temperature_c,mold_temperature_c,torque_nm,pressure_bar,"
    "cycle_time_s,operators,maintenance_due,produced_at\n"
)


class Shift(NamedTuple):
    """The places of the jobs that have a picture of their own."""

    running: str
    failed: str


def remember(client: redis.Redis) -> None:
    """The past hour: requests that come and go with the shift, and two long jobs."""
    seconds, _ = client.time()
    with client.pipeline() as pipeline:
        for place, slot in enumerate(slots_until(seconds)[:-2]):
            add_to_slot(pipeline, slot, _slot(place))
        pipeline.execute()


def _slot(place: int) -> dict[str, int]:
    wave = 1 + 0.45 * math.sin(place / 9) + 0.2 * math.sin(place / 2.3)
    requests = round(1900 * wave)
    usual, slow = latency_bucket(4.2 + 1.5 * wave), latency_bucket(14 + 9 * wave)
    running = 25 < place < 60 or 78 < place < 112
    return {
        count_field(QUALITY, Count.REQUESTS): requests,
        count_field(QUALITY, Count.ROWS): requests * 30,
        count_field(QUALITY, Count.ERRORS): 2 if place == 70 else 0,
        count_field(CLASSIFIER, Count.JOB_ROWS): round(96_000 * (1 + 0.1 * math.sin(place)))
        if running
        else 0,
        latency_field(QUALITY, usual): round(requests * 0.6),
        latency_field(QUALITY, usual + 1): round(requests * 0.37),
        latency_field(QUALITY, slow): round(requests * 0.03),
    }


def rows(count: int, *, wrong_every: int = 0) -> Iterator[bytes]:
    yield HEAD.encode()
    for n in range(count):
        product = "bolt" if wrong_every and n % wrong_every == 7 else "gear"
        yield (
            f"P-{n:06d},IM-{n % 20:02d},{product},night,C,{240 + n % 17},60.2,{50 + n % 30},{900 + n % 200},"
            "29.8,1,true,2026-03-02T23:15:00Z\n"
        ).encode()


def work(http: httpx.Client) -> Shift:
    """Hand over a shift's jobs, the last of which still run."""
    for number in range(1, 9):
        done = _job(http, f"LOT-47{number:02d}", 300 * number)
    finished(http, done, limit_s=120)
    finished(http, _job(http, "LOT-4709 recheck", 4000, wrong_every=29, tag="recheck"), limit_s=120)
    failed = _job(http, "LOT-4710 incoming", 400, wrong_every=50, max_errors="0", tag="incoming")
    finished(http, failed, limit_s=120)
    for _ in range(20):
        http.post("/predict", json=IRIS).raise_for_status()
    long = _job(http, "LOT-4711 day shift", 900_000, tag="day")
    finished(http, long, limit_s=240)
    running = _again(http, long, "LOT-4711 night shift", 5)
    _again(http, long, "LOT-4712 night shift", 8)
    _again(http, long, "LOT-4714 night shift", 5)
    held = _job(http, "LOT-4713 hold for QA", 12_000)
    http.post(f"{held}/pause").raise_for_status()
    return Shift(running, failed)


def _again(http: httpx.Client, place: str, reference: str, priority: int) -> str:
    """Run the stored rows of a job once more: its submission takes no time."""
    asked = {"rows": "all", "reference": reference, "tags": ["night"], "priority": priority}
    place = http.post(f"{place}/retry", json=asked).raise_for_status().headers["location"]
    return place


def _job(http: httpx.Client, reference: str, count: int, *, wrong_every: int = 0, **query: str) -> str:
    about = {"reference": reference, "id_column": "part"} | query
    return handed_over(http, "quality", rows(count, wrong_every=wrong_every), "text/csv", **about)
