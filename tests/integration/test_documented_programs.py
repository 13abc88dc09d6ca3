"""What docs/own-model.md and docs/mes.md show runs as it stands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.settings import environment
from tests.support.documents import ROOT, titled
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.tools]

OWN_MODEL = titled(ROOT / "docs" / "own-model.md")
PROGRAMS = dict(titled(ROOT / "docs" / "mes.md"))
TAKT = Path(sys.executable).with_name("takt")


def output_of(*command: str, folder: Path, settings: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(settings or {}) | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "client")))},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of the guide, built and proven by its commands."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in OWN_MODEL:
        if name.startswith("models/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    commands = next(text for title, text in OWN_MODEL if title == "run").replace(".venv/bin/takt", str(TAKT))
    output_of("bash", "-ec", commands, folder=folder, settings={"models_dir": str(folder / "models")})
    return folder / "models"


@pytest.fixture(scope="module")
def serving(queue: Server, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"models_dir": str(repository), "default_model": "progress"}
    with running(queue.url, tmp_path_factory.mktemp("serving"), **settings) as stack:
        stack.gateway()
        stack.worker("worker")
        wait_until_ready(stack)
        yield stack


def test_the_models_of_the_guide_are_built_proven_and_answer(serving: Stack, tmp_path: Path) -> None:
    asked = [text for title, text in OWN_MODEL if title == "ask"]
    answers = [answered(command, serving, tmp_path) for command in asked]
    assert 100 < answers[0]["progress"] < 300
    assert answers[1]["state"] == "tight"


def answered(command: str, stack: Stack, folder: Path) -> dict[str, Any]:
    """What a curl command gets of this stack (Any: a model's own fields)."""
    ours = command.replace("localhost:8000", f"127.0.0.1:{stack.port}")
    answer: dict[str, Any] = json.loads(output_of("bash", "-ec", ours, folder=folder))
    return answer


def test_the_program_in_java_submits_polls_and_reads_its_job(stack: Stack, tmp_path: Path) -> None:
    """A JDK is large: CI has none."""
    if shutil.which("javac") is None:
        pytest.skip("there is no JDK here")
    (tmp_path / "Job.java").write_text(PROGRAMS["Job.java"], encoding="utf-8")
    ran = [
        output_of("java", "Job.java", stack.url, f"java-{tmp_path.name}", folder=tmp_path) for _ in range(2)
    ]
    assert json.loads(ran[0])["results"][0]["prediction"] == "setosa"
    assert ran[1] == ran[0]  # sent again, it is the same job


def test_the_program_in_csharp_submits_polls_and_reads_its_job(stack: Stack, tmp_path: Path) -> None:
    """CI has no C# either."""
    if shutil.which("mcs") is None or shutil.which("mono") is None:
        pytest.skip("there is no Mono here")
    (tmp_path / "Job.cs").write_text(PROGRAMS["Job.cs"], encoding="utf-8")
    output_of("mcs", "-r:System.Net.Http.dll", "Job.cs", folder=tmp_path)
    ran = [output_of("mono", "Job.exe", stack.url, f"cs-{tmp_path.name}", folder=tmp_path) for _ in range(2)]
    assert json.loads(ran[0])["results"][0]["prediction"] == "setosa"
    assert ran[1] == ran[0]
