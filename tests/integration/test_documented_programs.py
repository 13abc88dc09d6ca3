"""The programs of docs/mes.md run as they stand."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.documents import ROOT, titled
from tests.support.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.tools]

PROGRAMS = dict(titled(ROOT / "docs" / "mes.md"))


def output_of(*command: str, folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
