"""The services' logs stay within their limit, and give the last lines of a run."""

from __future__ import annotations

from pathlib import Path

from stack.service_logs import Log


def test_a_log_over_its_bound_is_put_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = Log(tmp_path / "gateway.log", bound_bytes=100)
    with log.open() as writer:
        writer.write(b"old line\n" * 20)
        writer.flush()
        log.bound()
        writer.write(b"new line\n")
    assert log.path.read_bytes() == b"new line\n"
    assert (tmp_path / "gateway.log.1").read_bytes() == b"old line\n" * 20


def test_a_log_within_its_bound_is_left_alone(tmp_path: Path) -> None:
    log = Log(tmp_path / "gateway.log", bound_bytes=100)
    log.path.write_bytes(b"a line\n")
    log.bound()
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.log"]


def test_the_last_lines_are_those_of_the_last_run(tmp_path: Path) -> None:
    log = Log(tmp_path / "worker-1.log")
    log.path.write_text("first life\n")
    born_at_bytes = log.size_bytes()
    with log.open() as writer:
        writer.write("one\n\ntwo\nthrée\n".encode())
    assert log.last_lines(2, since_bytes=born_at_bytes) == ["two", "thrée"]
    assert log.last_lines(9, since_bytes=born_at_bytes) == ["one", "two", "thrée"]


def test_the_last_lines_survive_a_log_rotation(tmp_path: Path) -> None:
    log = Log(tmp_path / "worker-1.log")
    log.path.write_text("after it was emptied\n")
    assert log.last_lines(5, since_bytes=1_000_000) == ["after it was emptied"]
