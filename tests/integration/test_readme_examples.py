"""The curl commands of README.md and docs/http-api.md, run by a shell, give the answers that are shown below
them."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import ROOT, Curl, assert_as_shown, blocks, curls
from tests.support.polling import eventually
from tests.support.stack import Stack

pytestmark = pytest.mark.integration

Answer = dict[str, Any]  # Any: JSON
README = list(curls(ROOT / "README.md"))
HTTP_API = list(curls(ROOT / "docs" / "http-api.md"))
CALLS = [curl for curl in README + HTTP_API if not curl.path.startswith("/jobs")]
FILE = next(curl for curl in HTTP_API if "text/csv" in curl.command)


@pytest.fixture
def ask(stack: Stack) -> Callable[[Curl, str], Answer]:
    """Run a command against this stack, with another job id if it has a job id."""

    def run(curl: Curl, job_id: str = "") -> Answer:
        command = curl.command.replace("localhost:8000", f"127.0.0.1:{stack.port}")
        if job_id:
            command = command.replace(curl.path.split("/")[2], job_id)
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60)
        answer: Answer = json.loads(done.stdout)
        return answer

    return run


@pytest.mark.parametrize("curl", CALLS, ids=lambda curl: curl.path)
def test_a_call_answers_what_is_shown(ask: Callable[[Curl], Answer], curl: Curl) -> None:
    assert_as_shown(ask(curl), curl.answer)


def test_a_job_goes_as_the_readme_shows_it(ask: Callable[..., Answer]) -> None:
    submit, poll, results = [curl for curl in README if curl.path.startswith("/jobs")]
    submitted = ask(submit)
    # a quick worker may have begun, or ended it, before the answer was written
    assert submitted["state"] in ("queued", "running", "succeeded")
    assert_as_shown(submitted | {"state": submit.answer["state"]}, submit.answer)
    job_id = submitted["id"]
    eventually(lambda: ask(poll, job_id)["state"] == "succeeded", limit_s=30, every_s=0.2)
    assert_as_shown(ask(poll, job_id), poll.answer)
    answer = ask(results, job_id)
    assert answer["job_id"] == job_id
    assert_as_shown(answer, results.answer)


def test_a_file_is_a_job_as_the_guide_shows_it(ask: Callable[[Curl], Answer]) -> None:
    assert_as_shown(ask(FILE), FILE.answer)


def test_the_program_answers_as_the_curl_does(stack: Stack) -> None:
    command = next(code for _, code in blocks(ROOT / "README.md") if "takt predict" in code)
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/takt"
    installed = str(Path(sys.executable).with_name("takt"))
    assert json.loads(output_of(installed, *arguments, "--url", stack.url)) == {
        "prediction": "setosa",
        "confidence": 1.0,
    }


def test_the_sdk_runs_a_job_as_the_readme_shows_it(stack: Stack) -> None:
    code = next(code for kind, code in blocks(ROOT / "README.md") if kind == "python")
    program = code.replace("http://127.0.0.1:8000", stack.url) + "\nprint(rows)"
    rows = ast.literal_eval(output_of(sys.executable, "-c", program))
    assert [row["prediction"] for row in rows] == ["setosa"]


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
