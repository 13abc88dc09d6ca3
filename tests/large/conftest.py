"""How large the jobs of this suite are. `make test-large` runs it; `make test` does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Say = Callable[[str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", type=int, default=1_000_000, help="of a job that is compared with its model")
    parser.addoption("--job-rows", type=int, default=5_000_000, help="of a job that others stand behind")


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> int:
    found: int = request.config.getoption("--rows")
    return found


@pytest.fixture
def job_rows(request: pytest.FixtureRequest) -> int:
    found: int = request.config.getoption("--job-rows")
    return found


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Prints a figure, past pytest's capture."""

    def say(figures: str) -> None:
        with capsys.disabled():
            print(f"\n  {figures}")  # noqa: T201 - figures are what this suite is run for

    return say
