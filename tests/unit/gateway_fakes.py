"""Stand-ins for the surroundings of the gateway: a Redis in memory, a worker that answers, a clock that is
set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fakeredis import FakeAsyncRedis, FakeServer

from api.app import create_app
from api.gateway import Gateway
from shared import keys
from shared.columns import join, row_count
from shared.keys import ModelKey, model_key
from shared.messages import (
    FIELD,
    SCHEMA,
    AnswerColumn,
    Entry,
    EntryAnswer,
    EntryFailure,
    OutputColumn,
    Reply,
    decode_entry,
    encode,
)
from shared.repository import Repository, open_repository
from shared.settings import Settings
from shared.specs import ModelSpec
from shared.worker_records import HeldModel, ModelState, WorkerRecord, WorkerState, to_hash

MODELS = Path(__file__).parents[2] / "models"
REPOSITORY: Repository = open_repository(MODELS)
IRIS, CLASSIFIER, QUALITY = (REPOSITORY.spec(name) for name in ("iris", "classifier", "quality"))
IRIS_KEY = model_key("iris", IRIS.default_version)
IRIS_ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
WORKER = "fake:1"

Predict = Callable[[ModelSpec, Entry], Sequence[AnswerColumn] | EntryFailure]


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class FakeRedis(FakeAsyncRedis):  # fakeredis publishes no types
    """fakeredis with the INFO that it lacks, counting scripts; `server.connected = False` cuts it off."""

    def __init__(self, server: FakeServer | None = None) -> None:
        self.server = server or FakeServer()
        super().__init__(server=self.server)
        self.script_runs = 0

    async def info(self, *_sections: str, **_options: Any) -> dict[str, str]:  # type: ignore[override]
        await self.ping()
        return {"redis_version": "7.2.4", "valkey_version": "9.0.0"}

    def client(self) -> FakeRedis:
        return FakeRedis(self.server)

    async def evalsha(self, *arguments: Any) -> Any:
        answer = await super().evalsha(*arguments)
        self.script_runs += 1
        return answer


def echo_first_input(spec: ModelSpec, entry: Entry) -> list[OutputColumn]:
    """Answers that show which rows they are of: the first input is the confidence, or the probabilities."""
    columns = join(spec, [entry.columns])
    first = next(iter(columns.values()))
    return [_output(output.name, first, row_count(columns)) for output in spec.outputs]


def _output(name: str, first: Any, rows: int) -> OutputColumn:
    match name:
        case "prediction":
            return ["setosa"] * rows
        case "predicted_class":
            return [2] * rows
        case "probabilities":
            return [[float(value) for value in row] for row in first.tolist()]
        case _:
            return [float(value) for value in first]


class FakeWorker:
    """Holds models and answers their requests, step by step or until stopped."""

    def __init__(self, client: FakeRedis, *specs: ModelSpec, predict: Predict = echo_first_input) -> None:
        self.client: Any = client  # Any: redis-py's union of what RESP2 and RESP3 answer
        self._specs = {model_key(spec.name, spec.default_version): spec for spec in specs}
        self._predict = predict
        self.stopped = False

    async def beat(
        self,
        *,
        rows_per_s: float = 0.0,
        state: WorkerState = WorkerState.SERVING,
        metrics_address: str = "",
    ) -> None:
        held = HeldModel(state=ModelState.LOADED, rows_per_s=rows_per_s)
        record = WorkerRecord(
            id=WORKER,
            host="here",
            pid=1,
            device="cpu",
            state=state,
            started_at="2026-01-01T00:00:00Z",
            models=dict.fromkeys(self._specs, held),
            metrics_address=metrics_address,
        )
        await self.client.zadd(keys.workers(), {WORKER: 1})
        await self.client.hset(keys.worker(WORKER), mapping=to_hash(record))

    async def die(self) -> None:
        """Let the heartbeat expire, as after a crash."""
        await self.client.delete(keys.worker(WORKER))

    async def withdraw(self) -> None:
        """Stop in order."""
        await self.client.delete(keys.worker(WORKER))
        await self.client.zrem(keys.workers(), WORKER)

    async def waiting(self, key: ModelKey) -> list[Entry]:
        return [entry for _, entry in await self._entries(key)]

    async def nothing_waits(self, key: ModelKey) -> None:
        """Return once the stream is empty; AssertionError if it does not become empty."""
        for _ in range(1000):
            if not await self._entries(key):
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"{len(await self._entries(key))} entries wait")

    async def answer(self) -> int:
        """Answer everything that waits. → how many entries that were."""
        answered = 0
        for key, spec in self._specs.items():
            for entry_id, entry in await self._entries(key):
                await self._reply(spec, entry)
                await self.client.xdel(keys.online(key), entry_id)
                answered += 1
        return answered

    async def serve(self) -> None:
        while not self.stopped:
            await self.answer()
            await asyncio.sleep(0.002)

    async def _entries(self, key: ModelKey) -> list[tuple[bytes, Entry]]:
        entries = await self.client.xrange(keys.online(key))
        return [(entry_id, decode_entry(fields[FIELD])) for entry_id, fields in entries]

    async def _reply(self, spec: ModelSpec, entry: Entry) -> None:
        result = self._predict(spec, entry)
        failure = result if isinstance(result, EntryFailure) else None
        columns = None if isinstance(result, EntryFailure) else result
        answer = EntryAnswer(entry.id, entry.part, 1.5, columns, failure)
        reply = Reply(SCHEMA, WORKER, entry.rows, 0.1, 2.0, [answer])
        await self.client.xadd(keys.reply(entry.gateway), {FIELD: encode(reply)}, nomkstream=True)


@asynccontextmanager
async def running_gateway(
    client: FakeRedis, folder: Path, **changes: Any
) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    """A started gateway over `client`, and a client of its HTTP."""
    chosen: dict[str, Any] = {
        "models_dir": MODELS,
        "payload_url": folder.as_uri(),
        "gateway_name": "test",
    } | changes
    settings = Settings(**chosen)
    app = create_app(settings, client)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as http,
    ):
        yield app.state.gateway, http


@asynccontextmanager
async def serving(worker: FakeWorker, gateway: Gateway) -> AsyncIterator[None]:
    """A worker that answers by itself, and is known to the gateway."""
    await worker.beat()
    await gateway.fleet.watch.renew()
    await until(lambda: gateway.queue.up)
    task = asyncio.create_task(worker.serve())
    try:
        yield
    finally:
        worker.stopped = True
        await task


async def until(condition: Callable[[], object], *, limit_s: float = 30.0) -> None:
    """Let the loop run until `condition` holds; AssertionError if it does not within the limit."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    while not condition():
        assert loop.time() < end_s, "the condition did not come true"
        await asyncio.sleep(0.002)
