"""A worker consumes only the queues of its loaded models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from shared import keys
from shared.keys import ModelKey, model_key
from shared.worker_records import ModelState, WorkerRecord, from_hash
from tests.support.polling import eventually
from tests.support.servers import Server, valkey_binary
from tests.support.stack import running

pytestmark = pytest.mark.integration

IRIS, QUALITY = model_key("iris", "1.0.0"), model_key("quality", "1.0.0")
CELERYS_DEFAULT_QUEUE = "celery"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(valkey_binary(), tmp_path) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as made:
        yield made


def test_a_worker_with_no_loadable_model_consumes_nothing_and_says_why(
    server: Server, client: redis.Redis, models: Path, tmp_path: Path
) -> None:
    queues = [CELERYS_DEFAULT_QUEUE, keys.offline_queue(IRIS)]
    for queue in queues:
        client.rpush(queue, "a doorbell")
    client.xadd(keys.online(IRIS), {"m": b"an entry"})
    with running(server.url, tmp_path, models="nothing") as stack:
        stack.worker("empty")
        eventually(lambda: blocked_on_lists(client))
        record = heartbeat(client)
        [held] = record.models.values()
        assert held.state is ModelState.FAILED
        assert "nothing" in held.reason
        assert [client.llen(queue) for queue in queues] == [1, 1]
        assert client.xlen(keys.online(IRIS)) == 1
        assert client.xinfo_groups(keys.online(IRIS)) == []


def test_a_worker_consumes_the_models_that_it_was_given_and_no_others(
    server: Server, client: redis.Redis, models: Path, tmp_path: Path
) -> None:
    with running(server.url, tmp_path, models="iris") as stack:
        stack.worker("iris-only")
        eventually(lambda: blocked_on_lists(client))
        record = heartbeat(client)
        assert (record.holds(IRIS), record.holds(QUALITY)) == (True, False)
        notify(client, QUALITY)
        notify(client, IRIS)
        eventually(lambda: client.llen(keys.offline_queue(IRIS)) == 0)
        assert client.llen(keys.offline_queue(QUALITY)) == 1


def test_an_artifact_that_was_changed_is_reported_while_the_others_serve(
    server: Server, client: redis.Redis, models: Path, tmp_path: Path
) -> None:
    import shutil

    copy = tmp_path / "models"
    shutil.copytree(models, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "iris/1.0.0/model.joblib").open("ab") as artifact:
        artifact.write(b"\0")
    with running(server.url, tmp_path, models_dir=str(copy), models="iris,classifier") as stack:
        stack.worker("half")
        record = heartbeat(client)
    assert record.models[IRIS].state is ModelState.FAILED
    assert "SHA-256" in record.models[IRIS].reason
    assert record.holds(model_key("classifier", "1.0.0"))


def heartbeat(client: redis.Redis) -> WorkerRecord:
    [worker_id] = client.zrange(keys.workers(), 0, -1)
    assert isinstance(worker_id, bytes)
    record = from_hash(client.hgetall(keys.worker(worker_id.decode())))  # type: ignore[arg-type]  # bytes here
    assert record is not None
    return record


def blocked_on_lists(client: redis.Redis) -> bool:
    """Whether Celery's consumer waits on its queues."""
    return any(entry["cmd"] == "brpop" for entry in client.client_list())


def notify(client: redis.Redis, key: ModelKey) -> None:
    """A doorbell as the gateway sends it."""
    from celery import Celery

    from shared.doorbells import TASK, celery_settings
    from shared.settings import Settings

    pool = client.connection_pool.connection_kwargs
    app = Celery()
    url = f"redis://{pool['host']}:{pool['port']}/0"
    app.conf.update(celery_settings(Settings(redis_url=SecretStr(url))))
    app.send_task(TASK, args=[key], queue=keys.offline_queue(key))
    app.close()
