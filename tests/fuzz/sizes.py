"""`python -m tests.fuzz.sizes`: malformed requests to a gateway with its own Valkey.

Exit status 1 if an answer, a job's record or a log line is larger than 64 KiB, or if a request causes a bug.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis.asyncio

from api.app import create_app
from api.gateway import Gateway
from shared import keys
from shared.logs import configure_logging
from shared.repository import open_repository
from shared.settings import Settings
from tests.fuzz.bodies import Case, case
from tests.support.servers import Server, valkey_binary
from tests.unit.gateway_fakes import FakeWorker

MOST_BYTES = 64 * 2**10
ROOT = Path(__file__).parents[2]
IMAGE = """
name = "image"
framework = "pytorch"
default_version = "1.0.0"
description = "An image network's input."
[pytorch]
module = "network:Net"
[[inputs]]
name = "image"
type = "float32"
shape = [3, 224, 224]
minimum = 0
maximum = 1
example = EXAMPLE
[[outputs]]
name = "probabilities"
view = "probabilities"
"""


@dataclass
class Sizes:
    """The largest size of each kind, and all sizes above the limit."""

    largest: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("answer", "record", "log line"), 0)
    )
    statuses: Counter[int] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)

    def add(self, kind: str, size_bytes: int, what: str) -> None:
        self.largest[kind] = max(self.largest[kind], size_bytes)
        if size_bytes > MOST_BYTES:
            self.found.append(f"{kind} of {size_bytes} bytes: {what}")


def models(folder: Path) -> Path:
    """Spec and manifest, as needed by a gateway, of the shipped models and of a model with a large tensor."""
    specs = {path.parent.name: path.read_text("utf-8") for path in (ROOT / "models").glob("*/model.toml")}
    image = IMAGE.replace("EXAMPLE", json.dumps([[[0] * 224] * 224] * 3))
    for name, spec in (specs | {"image": image}).items():
        built = folder / name / "1.0.0"
        built.mkdir(parents=True)
        (folder / name / "model.toml").write_text(spec, "utf-8")
        manifest = {"model": name, "version": "1.0.0", "artifact": "a", "sha256": "ab" * 32, "size_bytes": 1}
        more: dict[str, Any] = {"created_at": "2026-01-01T00:00:00Z", "frameworks": {}}
        (built / "manifest.json").write_text(json.dumps(manifest | more))
    return folder


async def measure(client: Any, folder: Path, cases: int, seed: int) -> Sizes:  # Any: a Redis, or a fake
    """Send this number of requests to a gateway on this Redis."""
    settings = Settings(
        models_dir=models(folder / "models"),
        payload_url=(folder / "payloads").as_uri(),
        log_format="json",
        log_level="debug",
        access_log=True,
        max_body_bytes=2_000_000,
        max_job_body_bytes=2_000_000,
        default_wait_s=0.02,
    )
    specs = open_repository(settings.models_dir).specs
    inputs = {name: spec.input_names for name, spec in specs.items()}
    sizes, chance = Sizes(), random.Random(seed)
    app = create_app(settings, client)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with _logged(settings, sizes):
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=60) as http,
        ):
            gateway: Gateway = app.state.gateway
            gateway.jobs.ledger._notify = lambda _key, _count: None  # no worker receives it here
            await FakeWorker(client, *specs.values()).beat()
            await gateway.fleet.watch.renew()
            for number in range(cases):
                await _ask(http, client, case(chance, inputs), sizes, number)
    return sizes


async def _ask(http: httpx.AsyncClient, client: Any, asked: Case, sizes: Sizes, number: int) -> None:
    headers = {name: value.encode("utf-8") for name, value in asked.headers.items()}
    answer = await http.request(
        asked.method,
        asked.path,
        params=list(asked.params),
        content=asked.body,
        headers=headers,  # type: ignore[arg-type]
    )
    what = f"case {number}: {asked.method} {asked.path[:60]} {answer.status_code} {answer.text[:200]}"
    sizes.statuses[answer.status_code] += 1
    head = sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
    sizes.add("answer", len(answer.content) + head, what)
    if answer.status_code == 500 and answer.json()["error"] == "internal_error":
        sizes.found.append(f"a bug: {what}")
    if (location := answer.headers.get("location", "")).startswith("/jobs/"):
        job_id = location.removeprefix("/jobs/")
        record = await client.hgetall(keys.job(job_id))
        sizes.add("record", sum(len(name) + len(value) for name, value in record.items()), what)
        sizes.add("answer", len((await http.get(location)).content), what)


class _Lines(io.TextIOBase):
    """A log that records the length of its lines."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes

    def write(self, text: str, /) -> int:
        for line in text.splitlines():
            self._sizes.add("log line", len(line.encode("utf-8", "replace")), line[:200])
        return len(text)


@contextmanager
def _logged(settings: Settings, sizes: Sizes) -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure_logging(settings)
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(_Lines(sizes))
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.sizes", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        with Server(valkey_binary(), folder) as queue:
            client = redis.asyncio.Redis.from_url(queue.url)
            sizes = asyncio.run(measure(client, folder, options.cases, options.seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(sizes.statuses.items()))
    sys.stdout.write(f"{options.cases} cases, seed {options.seed}: {statuses}\n")
    for kind, size_bytes in sizes.largest.items():
        sys.stdout.write(f"largest {kind}: {size_bytes} bytes\n")
    sys.stdout.write("".join(f"{line}\n" for line in sizes.found[:20]))
    return 1 if sizes.found else 0


if __name__ == "__main__":
    sys.exit(main())
