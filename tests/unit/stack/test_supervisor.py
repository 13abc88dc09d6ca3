"""Parts are started in order, restarted when they crash, and ended in order; none outlives the leash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stack.errors import ServiceFailed
from stack.logs import Log
from stack.process_group import ProcessGroup
from stack.restarts import Backoff, Crashes
from stack.services import Layer, Service, ending
from stack.supervisor import Supervisor
from tests.support.polling import eventually
from tests.support.processes import members

FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


class Told:
    """A report that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.last_lines: list[str] = []

    def ready(self, part: str, what: str, took_s: float) -> None:
        self.events.append(("ready", part))

    def crashed(self, part: str, how: str, crashes: Crashes, pause_s: float, last_lines: list[str]) -> None:
        self.events.append((f"{how}, crash {crashes.total}", part))
        self.last_lines = last_lines

    def stopping(self, part: str) -> None:
        self.events.append(("stopping", part))

    def killed(self, part: str, grace_s: float) -> None:
        self.events.append(("killed", part))


@pytest.fixture
def leash() -> Iterator[ProcessGroup]:
    with closing(ProcessGroup()) as leash:
        yield leash


@pytest.fixture
def told() -> Told:
    return Told()


def part(
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
    tmp_path: Path, leash: ProcessGroup, told: Told
) -> None:
    queue, worker, gateway = (
        part(tmp_path, "valkey", layer=Layer.QUEUE),
        part(tmp_path, "worker-1"),
        part(tmp_path, "gateway", layer=Layer.GATEWAY),
    )
    supervisor = Supervisor([gateway, worker, queue], leash, told)
    supervisor.start()
    assert told.events[0] == ("ready", "valkey")
    assert set(told.events[1:]) == {("ready", "worker-1"), ("ready", "gateway")}
    supervisor.stop()
    assert told.events[3:] == [("stopping", "gateway"), ("stopping", "worker-1"), ("stopping", "valkey")]


def test_a_part_that_ends_before_it_is_ready_fails_the_start_with_its_last_words(
    tmp_path: Path, leash: ProcessGroup, told: Told
) -> None:
    broken = part(tmp_path, "gateway", "echo 'no such model'; exit 3")
    broken = Service(**{**vars(broken), "ready": lambda _: None})
    with pytest.raises(
        ServiceFailed, match=r"(?s)gateway ended with code 3 before it was ready.*no such model"
    ):
        Supervisor([broken], leash, told).start()


def test_a_crashed_part_is_started_again_and_the_reason_told(
    tmp_path: Path, leash: ProcessGroup, told: Told
) -> None:
    # its first two lives end badly, the third stays
    lives = tmp_path / "lives"
    lives.touch()
    script = f"echo x >> {lives}; [ $(wc -l < {lives}) -ge 3 ] || {{ echo why; exit 7; }}; {FOREVER}"
    supervisor = Supervisor(
        [part(tmp_path, "worker-1", script)], leash, told, Backoff(first_s=0.01, factor=1)
    )
    supervisor.start()

    def has_settled() -> bool:
        supervisor.turn()
        return lives.read_text() == "x\nx\nx\n" and told.events[-1] == ("ready", "worker-1")

    eventually(has_settled)
    crashes = [("ended with code 7, crash 1", "worker-1"), ("ended with code 7, crash 2", "worker-1")]
    assert [event for event in told.events if event[0] != "ready"] == crashes
    assert told.last_lines == ["why"]
    supervisor.stop()


def test_a_part_that_outlasts_its_grace_is_killed(tmp_path: Path, leash: ProcessGroup, told: Told) -> None:
    stubborn = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"
    supervisor = Supervisor([part(tmp_path, "worker-1", stubborn, grace_s=0.1)], leash, told)
    supervisor.start()
    eventually(lambda: (tmp_path / "worker-1.log").read_text() == "deaf\n")
    supervisor.stop()
    assert told.events[-1] == ("killed", "worker-1")


def test_letting_go_of_the_leash_ends_parts_and_their_children(tmp_path: Path, told: Told) -> None:
    leash = ProcessGroup()
    supervisor = Supervisor([part(tmp_path, "worker-1", "sleep 1000 & sleep 1000")], leash, told)
    supervisor.start()
    eventually(lambda: len(members(leash.group)) == 4)  # leash, shell, two sleeps
    leash.close()
    assert members(leash.group) == []
    supervisor.stop()  # nothing is left to stop; the dead are reaped


def test_killing_the_starter_ends_the_parts() -> None:
    starter = (
        "import subprocess; from stack.process_group import ProcessGroup; leash = ProcessGroup();"
        "subprocess.Popen(['sleep', '1000'], process_group=leash.group);"
        "print(leash.group, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        group = int(process.stdout.readline())
        assert len(members(group)) == 2
        process.kill()
    eventually(lambda: members(group) == [])


def test_a_leash_that_somebody_ended_is_started_again_around_the_same_parts(
    tmp_path: Path, told: Told
) -> None:
    leash = ProcessGroup()
    supervisor = Supervisor([part(tmp_path, "worker-1", "exec sleep 1000")], leash, told)
    supervisor.start()
    group = leash.group
    os.kill(group, signal.SIGKILL)
    eventually(leash.mend)
    assert leash.group == group
    leash.close()
    assert members(group) == []
    supervisor.stop()


@pytest.mark.parametrize(
    ("code", "words"), [(0, "ended with code 0"), (3, "ended with code 3"), (-9, "was killed by SIGKILL")]
)
def test_an_ending_is_told_in_words(code: int, words: str) -> None:
    assert ending(code) == words
