"""Several gateway processes on a port: clients see a single gateway, whichever process answers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared import keys
from shared.keys import model_key
from tests.support.callers import IRIS, finished, predict_all
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import STARTS_S, Part, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.faults]

PROCESSES = 3
SCRAPES = 60
ONLINE = keys.online(model_key("iris", "1.0.0"))
NEW = {"Connection": "close"}


@pytest.fixture(scope="module")
def stack(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway of three processes, and a worker."""
    folder = tmp_path_factory.mktemp("gateway_processes")
    with running(queue.url, folder, models="iris", gateways=str(PROCESSES)) as started:
        started.gateway()
        started.worker("one")
        wait_until_ready(started)
        yield started


@pytest.fixture
def gateway(stack: Stack) -> Part:
    """The parent, with all processes ready."""
    eventually(lambda: len(ready_processes(stack)) == PROCESSES, limit_s=STARTS_S, every_s=0.2)
    return stack.parts["gateway"]


def processes(gateway: Part) -> dict[int, psutil.Process]:
    """The gateway's processes by PID."""
    return {child.pid: child for child in psutil.Process(gateway.pid).children()}


def scrape(stack: Stack) -> str:
    with stack.client() as http:
        return http.get("/metrics").raise_for_status().text


def ready_processes(stack: Stack) -> set[str]:
    return {labels["process"] for labels, ready in samples(scrape(stack), "takt_gateway_ready") if ready}


def samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]


def counts(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every series that may only grow."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        if family.type in ("counter", "histogram")
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def beside(load: Callable[[], Awaitable[object]], during: Callable[[], object]) -> Counter[str]:
    """Repeat `load` in eight tasks while `during` runs in a thread. Returns each outcome and its number."""
    outcomes: Counter[str] = Counter()
    done = asyncio.Event()

    async def repeat() -> None:
        while not done.is_set():
            try:
                outcomes[str(await load())] += 1
            except httpx.HTTPError as error:
                outcomes[repr(error)] += 1

    tasks = [asyncio.create_task(repeat()) for _ in range(8)]
    await asyncio.to_thread(during)
    done.set()
    await asyncio.gather(*tasks)
    return outcomes


async def test_all_processes_take_part_and_each_request_gets_its_own_answer(
    stack: Stack, gateway: Part
) -> None:
    flowers: list[dict[str, object]] = [{**IRIS, "sepal_length": 4 + i / 100} for i in range(300)]
    answers = await asyncio.gather(*(predict_all(stack.url, flowers, connections=32) for _ in range(2)))
    assert {answer.status_code for both in answers for answer in both} == {200}
    admitted = samples(scrape(stack), "takt_admitted_requests_total")
    assert {labels["process"] for labels, count in admitted if count} == set(map(str, range(PROCESSES)))


async def test_no_counter_goes_back_between_scrapes_whichever_process_answers(
    stack: Stack, gateway: Part
) -> None:
    texts: list[str] = []
    async with httpx.AsyncClient(base_url=stack.url, verify=False, timeout=30) as http:

        async def load() -> int:
            return (await http.post("/predict", json=IRIS, headers=NEW)).status_code

        outcomes = await beside(load, lambda: texts.extend(scrape(stack) for _ in range(SCRAPES)))
    assert set(outcomes) == {"200"}
    for before, after in zip(map(counts, texts), map(counts, texts[1:]), strict=False):
        assert {
            series: after.get(series) for series, count in before.items() if after.get(series, -1) < count
        } == {}
    scraped = samples(texts[-1], "takt_http_request_duration_seconds_count")
    answered = {labels["process"] for labels, _ in scraped if labels["route"] == "/metrics"}
    assert answered == set(map(str, range(PROCESSES)))
    admitted = sum(count for _, count in samples(scrape(stack), "takt_admitted_requests_total"))
    assert admitted >= outcomes["200"]


def test_each_process_knows_the_jobs_and_idempotency_keys_of_the_others(stack: Stack, gateway: Part) -> None:
    body = {"model": "iris", "inputs": [[5.1, 3.5, 1.4, 0.2]] * 3}
    with stack.client() as http:
        answers = [
            http.post("/jobs", json=body, headers=NEW | {"Idempotency-Key": "k"}).raise_for_status()
            for _ in range(12)
        ]
        assert len({answer.json()["id"] for answer in answers}) == 1
        location = answers[0].headers["Location"]
        assert finished(http, location)["state"] == "succeeded"
        assert {http.get(location, headers=NEW).json()["state"] for _ in range(12)} == {"succeeded"}


async def test_kill_9_of_a_process_refuses_no_connection_and_another_takes_its_slot(
    stack: Stack, gateway: Part
) -> None:
    before = processes(gateway)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    async with httpx.AsyncClient(base_url=stack.url, verify=False, timeout=30) as http:

        async def load() -> int:
            return (await http.get("/health/live", headers=NEW)).status_code

        def returned() -> bool:
            return len(ready_processes(stack)) == PROCESSES and victim not in processes(gateway)

        outcomes = await beside(load, lambda: eventually(returned, limit_s=STARTS_S, every_s=0.2))
    assert set(outcomes) == {"200"}
    assert before.keys() - {victim} < processes(gateway).keys()
    assert gateway.has_said("gateway_ended")


async def test_sighup_replaces_the_processes_in_turn_and_no_request_fails(
    stack: Stack, gateway: Part
) -> None:
    before = processes(gateway)
    most = 0

    def replaced() -> bool:
        nonlocal most
        now = processes(gateway)
        most = max(most, len(now))
        return not before.keys() & now.keys() and len(now) == PROCESSES

    async with httpx.AsyncClient(base_url=stack.url, verify=False, timeout=30) as http:

        async def load() -> tuple[int, int]:
            kept = await http.post("/predict", json=IRIS)
            new = await http.post("/predict", json=IRIS, headers=NEW)
            return kept.status_code, new.status_code

        gateway.tell(signal.SIGHUP)
        outcomes = await beside(load, lambda: eventually(replaced, limit_s=STARTS_S, every_s=0.05))
    assert set(outcomes) == {"(200, 200)"}
    assert most == PROCESSES + 1


async def test_sigterm_answers_what_was_accepted_and_ends_all_processes(
    stack: Stack, queue: Server, tmp_path: Path
) -> None:
    worker = stack.parts["one"]
    with running(queue.url, tmp_path, models="iris", gateways="2") as other, queue.client() as client:
        gateway = other.gateway()
        eventually(lambda: len(ready_processes(other)) == 2, limit_s=STARTS_S)
        children = processes(gateway)
        worker.pause()
        try:
            flowers: list[dict[str, object]] = [dict(IRIS) for _ in range(32)]
            waiting = asyncio.create_task(predict_all(other.url, flowers, connections=32))
            await asyncio.to_thread(eventually, lambda: client.xlen(ONLINE) == 32)
            gateway.tell(signal.SIGTERM)
        finally:
            worker.go_on()
        assert {answer.status_code for answer in await waiting} == {200}
        assert gateway.ended() == 0
        assert not any(child.is_running() for child in children.values())


def test_the_processes_of_a_killed_parent_end_and_free_the_port(queue: Server, tmp_path: Path) -> None:
    with running(queue.url, tmp_path, models="iris", gateways="2") as stack:
        gateway = stack.gateway()
        children = processes(gateway)
        gateway.kill()
        again = stack.gateway("again")
        eventually(lambda: not any(child.is_running() for child in children.values()))
        assert again.running


def test_a_start_that_can_only_fail_ends_with_its_reason(queue: Server, tmp_path: Path) -> None:
    settings = {"gateways": "2", "models_dir": str(tmp_path / "none"), "port": "0"}
    part = Part("gateway", ["api"], {"redis_url": queue.url} | settings, tmp_path)
    part.start()
    assert part.ended() == 1
    assert part.has_said("gateway_cannot_start")
