"""New versions that are wrong, slow, raising or fatal: found by replays and shadows, and rolled back."""

from __future__ import annotations

import asyncio
import io
import itertools
import math
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.models.routing import place_of
from shared import keys
from tests.support.bodies import arrow_stream
from tests.support.callers import finished, handed_over, predict_all
from tests.support.candidates import (
    FATAL,
    PLAIN,
    RAISING,
    RIGHT,
    SLOW,
    STEPS,
    WRONG,
    build_candidates,
    flower,
    is_wrong,
)
from tests.support.polling import eventually
from tests.support.servers import Server, free_port
from tests.support.stack import Part, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

VERSIONS = (RIGHT, WRONG, RAISING, FATAL, PLAIN, SLOW)
ROWS = 20_000
LENIENT = {"max_p99_ratio": 1000.0, "max_predict_ratio": 1000.0}
FIRST = next(key for key in map(str, itertools.count()) if place_of(key.encode()) < 1)
"""A routing key that every split moves away from the default."""
BASE = {"wanted": list(VERSIONS), "default": RIGHT}


@pytest.fixture(scope="module")
def stack(queue: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Part]]:
    folder = tmp_path_factory.mktemp("models")
    build_candidates(folder, VERSIONS)
    with running(queue.url, tmp_path_factory.mktemp("stack"), models_dir=str(folder)) as stack:
        stack.gateway()
        other = stack.gateway("second", port=free_port())
        stack.worker("w1", workers="1")
        for part in (stack, other):
            wait_until_ready(part)
        with stack.client() as http:
            put(http, BASE)
            eventually(lambda: states(http) == {"held"}, limit_s=120)
        yield stack, other


@pytest.fixture
def clients(stack: tuple[Stack, Part]) -> Iterator[list[httpx.Client]]:
    found = [httpx.Client(base_url=one.url, timeout=30, verify=False) for one in stack]
    put(found[0], BASE)
    for client in found:
        eventually(partial(is_routed, client, FIRST, RIGHT), limit_s=5)
    yield found
    for client in found:
        client.close()


@pytest.fixture(scope="module")
def job(stack: tuple[Stack, Part]) -> str:
    """A job with every row once, on RIGHT."""
    values = np.arange(ROWS) / STEPS
    table = pa.table(
        {"sepal_length": values}
        | {name: np.full(ROWS, value) for name, value in flower(0).items() if name != "sepal_length"}
    )
    with stack[0].client() as http:
        location = handed_over(http, "iris", arrow_stream(table, ROWS), version=RIGHT)
        found = finished(http, location)
    assert (found["state"], found["rows_succeeded"]) == ("succeeded", ROWS)
    return str(found["id"])


def put(http: httpx.Client, target: dict[str, Any]) -> dict[str, Any]:
    answer = http.put("/models/iris/deployment", json=target)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


def view_of(http: httpx.Client) -> dict[str, Any]:
    view: dict[str, Any] = http.get("/models/iris/deployment").json()
    return view


def states(http: httpx.Client) -> set[str]:
    return {one["state"] for one in view_of(http)["versions"]}


def serves(http: httpx.Client, version: str) -> bool:
    return bool(http.post("/predict", json=flower(1)).headers.get("x-model-version") == version)


def routed(http: httpx.Client, key: str) -> str:
    """The version that answers requests with this routing key."""
    answer = http.post("/predict", json=flower(1), headers={"Takt-Routing-Key": key})
    return str(answer.headers["x-model-version"])


def is_routed(http: httpx.Client, key: str, version: str) -> bool:
    return routed(http, key) == version


def rollout(http: httpx.Client, version: str, **asked: Any) -> dict[str, Any]:
    answer = http.post("/models/iris/rollouts", json={"to": version} | asked)
    assert answer.status_code == 201, answer.text
    view: dict[str, Any] = answer.json()
    return view


def ended(http: httpx.Client) -> dict[str, Any] | None:
    found = http.get("/models/iris/rollouts").json()
    return None if found["running"] or not found["ended"] else found["ended"][0]


class Load:
    """Requests of these rows to all gateways, in a thread, until the block ends."""

    def __init__(self, clients: list[httpx.Client], numbers: list[int]) -> None:
        self._urls = [str(client.base_url) for client in clients]
        self._numbers = numbers
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[url]) for url in self._urls]
        self.statuses: Counter[tuple[str, int]] = Counter()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=30, verify=False) as http:
            for number in itertools.cycle(self._numbers):
                if self._over.is_set():
                    break
                answer = http.post("/predict", json=flower(number))
                self.statuses[answer.headers.get("x-model-version", ""), answer.status_code] += 1


def test_a_replay_names_exactly_the_rows_on_which_a_candidate_is_wrong(
    clients: list[httpx.Client], job: str
) -> None:
    http, other = clients
    answer = http.post(f"/jobs/{job}/replay", json={"version": WRONG})
    assert answer.status_code == 202, answer.text
    replay = finished(other, answer.headers["location"])
    assert (replay["version"], replay["replay_of"], replay["state"]) == (WRONG, job, "succeeded")
    report = other.get(f"/jobs/{job}/difference", params={"against": replay["id"]}).json()
    wrong = [number for number in range(ROWS) if is_wrong(number)]
    assert (report["rows"], report["equal"], report["different"]) == (ROWS, ROWS - 20, 20)
    assert report["same_rows"] is True
    label = next(one for one in report["outputs"] if one["output"] == "prediction")
    assert sum(change["rows"] for change in label["changes"]) == 20
    assert {change["b"] for change in label["changes"]} == {"virginica"}
    asked = {"against": replay["id"], "format": "parquet"}
    table = pq.read_table(io.BytesIO(other.get(f"/jobs/{job}/difference", params=asked).content))
    assert table["row"].to_pylist() == wrong
    assert [round(value * STEPS) for value in table["sepal_length"].to_pylist()] == wrong
    assert set(table["prediction_b"].to_pylist()) == {"virginica"}


def test_a_gate_refuses_a_wrong_candidate_before_any_request_moves(
    clients: list[httpx.Client], job: str
) -> None:
    http, other = clients
    gate = {"replay": job, "max_disagreement": 0.0005}
    with Load(clients, [1, 2, 3]) as load:
        view = rollout(http, WRONG, steps=[100], hold_s=1, gate=gate)
        assert (view["split"], view["rollout"]["percent"]) == ({}, 0)
        done = eventually(lambda: ended(other), limit_s=120)
    assert done is not None
    assert done["state"] == "rolled_back"
    assert "20 of 20000 rows differ (0.1000%); 0.0500% are permitted" in done["reason"]
    assert {version for version, _ in load.statuses} == {RIGHT}
    assert {status for _, status in load.statuses} == {200}
    assert (view_of(http)["default"], view_of(http)["split"]) == (RIGHT, {})


def test_a_gate_passes_within_its_limit_although_the_gateway_that_began_it_is_killed(
    stack: tuple[Stack, Part], clients: list[httpx.Client], job: str
) -> None:
    _, second = stack
    http, other = clients
    gate = {"replay": job, "max_disagreement": 0.002}
    rules = LENIENT | {"min_requests": 5}
    rollout(other, WRONG, steps=[100], hold_s=1, gate=gate, rules=rules)
    second.kill()
    try:
        with Load([http], [1, 2, 3]):
            done = eventually(lambda: ended(http), limit_s=120)
    finally:
        second.start()
        wait_until_ready(second)
    assert done is not None
    assert done["state"] == "promoted", done
    assert done["gate"]["passed"]
    assert done["gate"]["figures"].startswith("20 of 20000 rows differ")


def test_a_gate_needs_a_job_and_inputs_that_the_version_can_run(clients: list[httpx.Client]) -> None:
    http, _ = clients
    asked = {"to": WRONG, "gate": {"replay": "none"}}
    assert http.post("/models/iris/rollouts", json=asked).status_code == 404
    assert view_of(http)["rollout"] is None


def test_a_shadow_answers_nobody_and_its_disagreement_is_counted(
    stack: tuple[Stack, Part], clients: list[httpx.Client]
) -> None:
    http, other = clients
    put(http, BASE | {"shadow": {"version": WRONG, "share": 1.0}})
    eventually(lambda: (view_of(other)["shadow"] or {}).get("version") == WRONG, limit_s=5)
    numbers = [7, 8, 9, 1007, 1008, 9, 10, 11, 12, 13]
    for number in numbers:
        answer = http.post("/predict", json=flower(number))
        assert answer.headers["x-model-version"] == RIGHT
        assert answer.json()["prediction"] == "setosa"
    batch = {"inputs": [flower(number) for number in range(2000, 2200)]}
    assert http.post("/models/iris/predict/batch", json=batch).status_code == 200

    def counted() -> dict[str, Any] | None:
        shadow: dict[str, Any] = view_of(other)["shadow"]
        return shadow if shadow["compared"] + shadow["dropped"] >= len(numbers) + 200 else None

    shadow = eventually(counted, limit_s=60)
    assert shadow is not None
    assert (shadow["dropped"], shadow["failed"]) == (0, 0)
    assert (shadow["agreed"], shadow["differed"]) == (207, 3)
    assert shadow["disagreement"] == pytest.approx(3 / 210)
    assert shadow["p99_ms"] > 0
    rows = http.get("/models/iris/shadow/rows").json()["rows"]
    assert sorted(round(row["inputs"]["sepal_length"] * STEPS) for row in rows[:3]) == [7, 1007, 2007]
    assert (rows[0]["answer"]["prediction"], rows[0]["shadow_answer"]["prediction"]) == (
        "setosa",
        "virginica",
    )
    sent = [line for line in http.get("/metrics").text.splitlines() if "shadow_sent_rows" in line]
    assert any('outcome="sent"' in line and line.endswith(" 210.0") for line in sent), sent


def test_a_shadow_that_ends_its_process_costs_nothing_but_its_own_rows(
    stack: tuple[Stack, Part], clients: list[httpx.Client]
) -> None:
    http, _ = clients
    before = stack[0].parts["w1"].worker_pids
    put(http, BASE | {"shadow": {"version": FATAL, "share": 1.0}})
    eventually(lambda: (view_of(http)["shadow"] or {}).get("version") == FATAL, limit_s=5)
    for _ in range(5):
        assert http.post("/predict", json=flower(19_501)).status_code == 200

    def failed() -> bool:
        assert http.post("/predict", json=flower(19_501)).status_code == 200
        return int(view_of(http)["shadow"]["failed"]) >= 5

    eventually(failed, limit_s=60)
    assert stack[0].parts["w1"].worker_pids == before
    assert not stack[0].parts["w1"].has_said("worker_died")


def test_a_shadow_ends_with_its_deployment_and_leaves_no_entries(
    queue: Server, clients: list[httpx.Client]
) -> None:
    http, _ = clients
    assert view_of(http)["shadow"] is None
    with queue.client() as redis:
        names = [keys.shadow(keys.model_key("iris", version)) for version in VERSIONS]
        eventually(lambda: not redis.exists(*names), limit_s=30)


def test_a_shadow_is_one_of_the_wanted_versions(clients: list[httpx.Client]) -> None:
    http, _ = clients
    for shadow, words in (({"version": "9.0.0"}, "not among"), ({"version": RIGHT}, "is the default")):
        answer = http.put("/models/iris/deployment", json=BASE | {"shadow": shadow})
        assert (answer.status_code, words in answer.text) == (422, True)


def test_a_rollout_ends_if_the_shadowed_answers_disagree(clients: list[httpx.Client]) -> None:
    http, other = clients
    rules = LENIENT | {"min_requests": 40, "max_disagreement": 0.01, "shadow_share": 1.0}
    with Load(clients, [7, 1, 2, 3]):
        rollout(http, WRONG, steps=[10, 100], hold_s=120, rules=rules)
        done = eventually(lambda: ended(other), limit_s=60)
    assert done is not None
    assert done["state"] == "rolled_back"
    assert "max_disagreement: " in done["reason"]
    assert "1.00% are permitted" in done["reason"]


def test_a_candidate_twice_as_slow_is_rolled_back_within_the_hold_time(clients: list[httpx.Client]) -> None:
    http, other = clients
    put(http, BASE | {"default": PLAIN})
    for client in clients:
        eventually(partial(serves, client, PLAIN), limit_s=5)
    rules = {"min_requests": 30, "max_p99_ratio": 1000}
    with Load(clients, [1, 2, 3]):
        rollout(http, SLOW, steps=[50, 100], hold_s=60, rules=rules)
        done = eventually(lambda: ended(other), limit_s=60)
    assert done is not None
    assert done["state"] == "rolled_back"
    assert done["step"] == 0
    assert "max_predict_ratio: a model call takes " in done["reason"]


def test_a_candidate_that_raises_on_2_percent_is_rolled_back_within_the_hold_time(
    clients: list[httpx.Client],
) -> None:
    http, other = clients
    with Load(clients, list(range(50))) as load:
        rollout(http, RAISING, steps=[50, 100], hold_s=60, rules=LENIENT | {"min_requests": 50})
        done = eventually(lambda: ended(other), limit_s=60)
    assert done is not None
    assert done["state"] == "rolled_back"
    assert "max_error_rate: " in done["reason"]
    assert {status for version, status in load.statuses if version == RIGHT} == {200}


def test_a_split_of_10_percent_is_within_3_sigma_on_every_gateway(
    stack: tuple[Stack, Part], clients: list[httpx.Client]
) -> None:
    http, _ = clients
    put(http, BASE | {"split": {RIGHT: 90, WRONG: 10}})
    for client in clients:
        eventually(partial(serves, client, WRONG), limit_s=10)
    count = ROWS // 2
    for one in stack:
        bodies: list[dict[str, object]] = [dict(flower(number)) for number in range(count)]
        answers = asyncio.run(predict_all(one.url, bodies, connections=32))
        found = Counter(answer.headers["x-model-version"] for answer in answers)
        assert set(found) == {RIGHT, WRONG}
        assert abs(found[WRONG] - 0.1 * count) <= 3 * math.sqrt(count * 0.1 * 0.9), found


def test_a_routing_key_never_switches_back_and_forth_within_a_step(clients: list[httpx.Client]) -> None:
    http, _ = clients
    chosen: dict[str, list[str]] = {str(number): [] for number in range(100)}
    for percent in (10, 40):
        put(http, BASE | {"split": {RIGHT: 100 - percent, WRONG: percent}})
        last = next(key for key in map(str, itertools.count()) if 0 < percent - place_of(key.encode()) < 5)
        for client in clients:
            eventually(partial(is_routed, client, last, WRONG), limit_s=5)
        for key, seen in chosen.items():
            found = {routed(client, key) for _ in range(3) for client in clients}
            assert len(found) == 1, "one version within a step, on every gateway"
            seen.append(found.pop())
    assert all(seen != [WRONG, RIGHT] for seen in chosen.values()), "a key moves at most once"
    moved = [sum(seen[step] == WRONG for seen in chosen.values()) for step in range(2)]
    assert moved[0] < moved[1]
