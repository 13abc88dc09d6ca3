"""Programs do not load libraries that they must not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

FRAMEWORKS = {"sklearn", "torch", "joblib", "pandas"}


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that are loaded after a fresh interpreter has run a statement."""
    program = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(answer.stdout.split())


def test_the_worker_loads_no_framework_before_a_model_needs_it() -> None:
    assert not loaded_by("import worker.broker.celery_app") & (
        FRAMEWORKS | {"fastapi", "starlette", "uvicorn"}
    )


@pytest.mark.parametrize("module", ["worker.__main__", "stack.cli", "takt.cli"])
def test_a_command_loads_no_framework(module: str) -> None:
    assert not loaded_by(f"import {module}") & (FRAMEWORKS | {"celery"})
