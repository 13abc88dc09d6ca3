"""With a low limit of open files a gateway logs a warning and limits the number of connections."""

from __future__ import annotations

import resource

import pytest
import structlog

from api.http.open_files import LEAST_FILES, most_connections, most_open_files
from shared.errors import OperatorError


@pytest.mark.parametrize(
    ("files", "chosen", "connections"),
    [
        (65_536, None, 65_280),
        (1024, None, 768),
        (512, None, 256),
        (256, None, 128),
        (128, None, 64),
        (1024, 100, 100),
        (1024, 5000, 768),
    ],
)
def test_clients_have_what_the_process_does_not_need(
    files: int, chosen: int | None, connections: int
) -> None:
    assert most_connections(files, chosen) == connections


@pytest.mark.parametrize("files", [0, 20, LEAST_FILES - 1])
def test_too_few_files_are_refused_with_what_to_do(files: int) -> None:
    with pytest.raises(OperatorError, match=rf"may open {files} files.*at least 128.*ulimit -n 4096"):
        most_connections(files, None)


@pytest.mark.parametrize(("files", "chosen"), [(256, None), (1024, 5000)])
def test_few_files_are_warned_of(files: int, chosen: int | None) -> None:
    with structlog.testing.capture_logs() as logs:
        most_connections(files, chosen)
    assert [entry["event"] for entry in logs] == ["few_open_files"]


def test_enough_files_are_not_worth_a_word() -> None:
    with structlog.testing.capture_logs() as logs:
        most_connections(1024, None)
    assert logs == []


def test_the_soft_limit_is_raised_to_the_hard_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, hard), hard))
        assert most_open_files() == (65_536 if hard == resource.RLIM_INFINITY else hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
