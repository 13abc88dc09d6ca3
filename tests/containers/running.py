"""Checks of the running stack, including failures of its parts."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from tests.containers.stack import Answer, Stack, docker, inspect
from tests.support.polling import eventually

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
ROW = list(IRIS.values())
GUIDES_HEALTH_CHECK = ["CMD", "curl", "-f", "http://localhost:8000/health"]
GRACE_S = 15.0
"""TAKT_SHUTDOWN_GRACE_S, unchanged."""


def all_containers_become_healthy(stack: Stack) -> str:
    begun_s = time.monotonic()
    serving = [c for service in ("redis", "api", "worker-cpu") for c in stack.containers(service)]
    assert len(serving) == 4, serving
    eventually(lambda: all(_health(c) == "healthy" for c in serving), limit_s=120, every_s=0.5)
    return f"4 within {time.monotonic() - begun_s:.0f} s"


def the_health_check_of_the_gateway_is_the_guides(stack: Stack) -> str:
    (api,) = stack.containers("api")
    assert json.loads(inspect(api, "{{json .Config.Healthcheck.Test}}")) == GUIDES_HEALTH_CHECK
    docker("exec", api, *GUIDES_HEALTH_CHECK[1:])
    return " ".join(GUIDES_HEALTH_CHECK[1:])


def the_models_were_built_by_a_service_that_ended(stack: Stack) -> str:
    (models,) = stack.containers("models")
    assert inspect(models, "{{.State.Status}} {{.State.ExitCode}}") == "exited 0"
    return ""


def the_programs_run_without_root_or_privileges(stack: Stack) -> str:
    for container in _programs(stack):
        assert docker("exec", container, "id", "-u") == "10001"
        status = docker("exec", container, "cat", "/proc/1/status")
        capabilities = [line.split()[1] for line in status.splitlines() if line.startswith("Cap")]
        assert {int(c, 16) for c in capabilities} == {0}, capabilities
    return ""


def the_root_file_systems_are_read_only(stack: Stack) -> str:
    for container in [*_programs(stack), *stack.containers("redis")]:
        assert inspect(container, "{{.HostConfig.ReadonlyRootfs}}") == "true"
        assert not _writable(container, "/usr", user="0")
    return ""


def workers_cannot_change_the_models_that_they_serve(stack: Stack) -> str:
    for container in _programs(stack):
        assert _writable(container, "/var/lib/takt/models") == (container in stack.containers("api"))
        assert _writable(container, "/var/lib/takt/payloads")
    return ""


def predict_answers_as_the_guide_says(stack: Stack) -> str:
    answer = stack.call("POST", "/predict", IRIS)
    assert answer.status == 200, answer
    assert answer.body == {"prediction": "setosa", "confidence": 1.0, "model_version": "1.0.0"}
    return json.dumps(answer.body)


def predict_batch_answers_as_the_guide_says(stack: Stack) -> str:
    answer = stack.call("POST", "/predict/batch", {"inputs": [ROW, [6.7, 3.0, 5.2, 2.3]]})
    assert answer.status == 200, answer
    assert [result["prediction"] for result in answer.body["results"]] == ["setosa", "virginica"]
    assert answer.body["total_count"] == 2
    return ""


def korean_passes_unharmed(stack: Stack) -> str:
    job = _ended(stack, _submit(stack, 1, reference="3호기 도금라인"))
    assert job["reference"] == "3호기 도금라인"
    description = stack.call("GET", "/model-info").body["description"]
    assert "품종 분류" in description
    return str(description)


def a_job_of_1000_rows_runs_on_both_workers(stack: Stack) -> str:
    for attempt in range(1, 6):
        job = _ended(stack, _submit(stack, 1000))
        assert (job["state"], job["rows_succeeded"], job["rows_failed"]) == ("succeeded", 1000, 0), job
        results = stack.call("GET", job["links"]["results"]).body["results"]
        assert results == [{"prediction": "setosa", "confidence": 1.0}] * 1000
        chunks = [_chunks_ended(c, job["id"]) for c in stack.containers("worker-cpu")]
        if all(chunks):
            return " + ".join(map(str, chunks)) + f" chunks, job {attempt}"
    raise AssertionError("one worker did everything, five times")


def killing_redis_loses_nothing_and_heals(stack: Stack) -> str:
    before = _ended(stack, _submit(stack, 1000))
    # "everysec": a crash may lose acknowledged writes of the last second
    time.sleep(1.5)
    (redis,) = stack.containers("redis")
    restarts = _restarts(redis)
    stack.kill_program(redis)
    begun_s = time.monotonic()
    eventually(lambda: _restarts(redis) > restarts, limit_s=30, every_s=0.2)
    eventually(lambda: _predicts(stack), limit_s=60, every_s=0.2)
    healed_s = time.monotonic() - begun_s
    assert stack.call("GET", f"/jobs/{before['id']}").body["state"] == "succeeded"
    assert _ended(stack, _submit(stack, 1000))["state"] == "succeeded"
    return f"answers again after {healed_s:.1f} s"


def killing_a_worker_loses_no_row_and_heals(stack: Stack) -> str:
    location = _submit(stack, 30_000)
    _begun(stack, location)
    victim = stack.containers("worker-cpu")[0]
    restarts = _restarts(victim)
    stack.kill_program(victim)
    begun_s = time.monotonic()
    job = _ended(stack, location)
    assert (job["state"], job["rows_succeeded"], job["rows_failed"]) == ("succeeded", 30_000, 0), job
    eventually(lambda: _restarts(victim) > restarts, limit_s=30, every_s=0.2)
    eventually(lambda: _serves(victim), limit_s=60, every_s=0.5)
    return f"serves again after {time.monotonic() - begun_s:.1f} s"


def a_worker_told_to_stop_hands_its_work_back(stack: Stack) -> str:
    location = _submit(stack, 30_000)
    _begun(stack, location)
    took_s = _stop(stack.containers("worker-cpu")[0])
    job = _ended(stack, location)
    assert (job["state"], job["rows_succeeded"], job["rows_failed"]) == ("succeeded", 30_000, 0), job
    return f"exit 0 after {took_s:.1f} s"


def everything_told_to_stop_ends_well_within_its_grace(stack: Stack) -> str:
    _, worker = stack.containers("worker-cpu")
    (api,), (redis,) = stack.containers("api"), stack.containers("redis")
    parts = {"api": api, "worker": worker, "redis": redis}
    return ", ".join(f"{name} {_stop(container):.1f} s" for name, container in parts.items())


def _programs(stack: Stack) -> list[str]:
    return [*stack.containers("api"), *stack.containers("worker-cpu")]


def _health(container: str) -> str:
    return inspect(container, "{{.State.Health.Status}}")


def _restarts(container: str) -> int:
    return int(inspect(container, "{{.RestartCount}}"))


def _writable(container: str, folder: str, user: str = "10001") -> bool:
    return _does(container, "sh", "-c", f"touch {folder}/probe && rm {folder}/probe", user=user)


def _serves(container: str) -> bool:
    return _does(container, "python", "-m", "worker", "health")


def _does(container: str, *command: str, user: str = "10001") -> bool:
    words = ["docker", "exec", f"--user={user}", container, *command]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _predicts(stack: Stack) -> bool:
    try:
        return stack.call("POST", "/predict", IRIS).status == 200
    except OSError:
        return False


def _submit(stack: Stack, rows: int, reference: str = "") -> str:
    answer = stack.call("POST", "/jobs", {"model": "iris", "inputs": [ROW] * rows, "reference": reference})
    assert answer.status == 202, answer
    return answer.location


def _begun(stack: Stack, location: str) -> None:
    """Wait until a job is partly done. Raises AssertionError if it is complete, which proves nothing."""
    job = eventually(lambda: _job_with_rows(stack.call("GET", location)), limit_s=30)
    assert job["state"] == "running", job


def _job_with_rows(answer: Answer) -> dict[str, Any]:
    return answer.body if answer.body["rows_succeeded"] else {}


def _ended(stack: Stack, location: str) -> dict[str, Any]:
    def ended() -> dict[str, Any]:
        answer = stack.call("GET", location)
        return answer.body if answer.body.get("state") in ("succeeded", "failed", "canceled") else {}

    return eventually(ended, limit_s=90, every_s=0.1)


def _chunks_ended(container: str, job_id: str) -> int:
    lines = docker("logs", container).splitlines()
    return sum('"chunk_ended"' in line and job_id in line for line in lines)


def _stop(container: str) -> float:
    """Send SIGTERM and return the seconds until the end. Raises AssertionError if it was late or unclean."""
    begun_s = time.monotonic()
    docker("stop", "--time", "30", container)
    took_s = time.monotonic() - begun_s
    assert inspect(container, "{{.State.ExitCode}}") == "0", inspect(container, "{{json .State}}")
    assert took_s < GRACE_S, f"{took_s:.1f} s"
    return took_s


CHECKS = (
    all_containers_become_healthy,
    the_health_check_of_the_gateway_is_the_guides,
    the_models_were_built_by_a_service_that_ended,
    the_programs_run_without_root_or_privileges,
    the_root_file_systems_are_read_only,
    workers_cannot_change_the_models_that_they_serve,
    predict_answers_as_the_guide_says,
    predict_batch_answers_as_the_guide_says,
    korean_passes_unharmed,
    a_job_of_1000_rows_runs_on_both_workers,
    killing_redis_loses_nothing_and_heals,
    killing_a_worker_loses_no_row_and_heals,
    a_worker_told_to_stop_hands_its_work_back,
    everything_told_to_stop_ends_well_within_its_grace,
)
