"""Services start in order, restart after a crash, and stop in order; none outlives the process group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.backoff import Backoff, RestartHistory, RestartPolicy
from shared.exit_status import ending
from stack.command_errors import ServiceFailedError
from stack.process_group import ProcessGroup
from stack.service_logs import Log
from stack.services import Layer, Service
from stack.supervisor import Supervisor
from tests.support.polling import eventually
from tests.support.processes import members

FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


class Recorded:
    """Records the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.errors: list[str] = []

    def ready(self, service: str, detail: str, took_s: float) -> None:
        self.events.append(("ready", service))

    def crashed(self, service: str, how: str, history: RestartHistory, errors: list[str]) -> None:
        self.events.append((f"{how}, crash {history.total}", service))
        self.errors = errors

    def restarted_inside(self, service: str, how: str, count: int) -> None:
        self.events.append((f"{how}, restart {count}", service))

    def stopping(self, service: str) -> None:
        self.events.append(("stopping", service))

    def killed(self, service: str, grace_s: float) -> None:
        self.events.append(("killed", service))


@pytest.fixture
def group() -> Iterator[ProcessGroup]:
    with closing(ProcessGroup()) as group:
        yield group


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def service(
    folder: Path, name: str, script: str = FOREVER, layer: Layer = Layer.WORKERS, grace_s: float = 5.0
) -> Service:
    return Service(
        name=name,
        layer=layer,
        command=("/bin/sh", "-c", script),
        ready=str,
        log=Log(folder / f"{name}.log"),
        environment=dict(os.environ),
        grace_s=grace_s,
    )


def test_the_queue_is_ready_before_the_others_start_and_all_end_from_the_top(
    tmp_path: Path, group: ProcessGroup, recorded: Recorded
) -> None:
    queue, worker, gateway = (
        service(tmp_path, "valkey", layer=Layer.QUEUE),
        service(tmp_path, "worker-1"),
        service(tmp_path, "gateway", layer=Layer.GATEWAY),
    )
    supervisor = Supervisor([gateway, worker, queue], group, recorded)
    supervisor.start()
    assert recorded.events[0] == ("ready", "valkey")
    assert set(recorded.events[1:]) == {("ready", "worker-1"), ("ready", "gateway")}
    supervisor.stop()
    assert recorded.events[3:] == [("stopping", "gateway"), ("stopping", "worker-1"), ("stopping", "valkey")]


def test_a_service_that_ends_before_it_is_ready_fails_the_start_with_its_last_log_lines(
    tmp_path: Path, group: ProcessGroup, recorded: Recorded
) -> None:
    broken = service(tmp_path, "gateway", "echo 'no such model'; exit 3")
    broken = Service(**{**vars(broken), "ready": lambda _: None})
    with pytest.raises(
        ServiceFailedError, match=r"(?s)gateway ended with code 3 before it was ready.*no such model"
    ):
        Supervisor([broken], group, recorded).start()


def test_a_crashed_service_is_restarted_and_the_reason_reported(
    tmp_path: Path, group: ProcessGroup, recorded: Recorded
) -> None:
    # the first two runs crash, the third stays up
    runs = tmp_path / "runs"
    runs.touch()
    script = f"echo x >> {runs}; [ $(wc -l < {runs}) -ge 3 ] || {{ echo why; exit 7; }}; {FOREVER}"
    supervisor = Supervisor(
        [service(tmp_path, "worker-1", script)],
        group,
        recorded,
        RestartPolicy(Backoff(first_s=0.01, factor=1)),
    )
    supervisor.start()

    def has_settled() -> bool:
        supervisor.turn()
        return runs.read_text() == "x\nx\nx\n" and recorded.events[-1] == ("ready", "worker-1")

    eventually(has_settled)
    crashes = [("ended with code 7, crash 1", "worker-1"), ("ended with code 7, crash 2", "worker-1")]
    assert [event for event in recorded.events if event[0] != "ready"] == crashes
    assert recorded.errors == ["why"]
    supervisor.stop()


def test_a_service_that_exceeds_its_grace_period_is_killed(
    tmp_path: Path, group: ProcessGroup, recorded: Recorded
) -> None:
    stubborn = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"
    supervisor = Supervisor([service(tmp_path, "worker-1", stubborn, grace_s=0.1)], group, recorded)
    supervisor.start()
    eventually(lambda: (tmp_path / "worker-1.log").read_text() == "deaf\n")
    supervisor.stop()
    assert recorded.events[-1] == ("killed", "worker-1")


def test_closing_the_group_ends_services_and_their_children(tmp_path: Path, recorded: Recorded) -> None:
    group = ProcessGroup()
    supervisor = Supervisor([service(tmp_path, "worker-1", "sleep 1000 & sleep 1000")], group, recorded)
    supervisor.start()
    eventually(lambda: len(members(group.group)) == 4)  # guard, shell, two sleeps
    group.close()
    assert members(group.group) == []
    supervisor.stop()  # nothing is left to stop; the dead are reaped


def test_killing_the_starter_ends_the_services() -> None:
    starter = (
        "import subprocess; from stack.process_group import ProcessGroup; group = ProcessGroup();"
        "subprocess.Popen(['sleep', '1000'], process_group=group.group);"
        "print(group.group, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        group = int(process.stdout.readline())
        assert len(members(group)) == 2
        process.kill()
    eventually(lambda: members(group) == [])


def test_a_guard_that_ended_is_restarted_in_the_same_group(tmp_path: Path, recorded: Recorded) -> None:
    group = ProcessGroup()
    supervisor = Supervisor([service(tmp_path, "worker-1", "exec sleep 1000")], group, recorded)
    supervisor.start()
    group_id = group.group
    os.kill(group_id, signal.SIGKILL)
    eventually(group.restart)
    assert group.group == group_id
    group.close()
    assert members(group_id) == []
    supervisor.stop()


@pytest.mark.parametrize(
    ("code", "words"), [(0, "ended with code 0"), (3, "ended with code 3"), (-9, "was killed by SIGKILL")]
)
def test_an_exit_status_becomes_text(code: int, words: str) -> None:
    assert ending(code) == words
