"""Each program of examples/ runs as it stands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from tests.support.documents import ROOT
from tests.support.polling import eventually
from tests.support.servers import free_port
from tests.support.stack import Stack

pytestmark = pytest.mark.integration

EXAMPLES = ROOT / "examples"
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
FLOWERS = (
    "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n5.8,2.7,4.1,1.0\n"
)


def output_of(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def needs(*programs: str) -> None:
    """Skip if a compiler or interpreter of another language is missing; CI has not all of them."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on this machine")


@contextmanager
def receiver(port: int) -> Iterator[subprocess.Popen[str]]:
    """The webhook receiver as a process that accepts connections."""
    command = [sys.executable, str(EXAMPLES / "webhook_receiver.py"), str(port)]
    settings = os.environ | {"TAKT_WEBHOOK_SECRET": SECRET}
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.TransportError:
        return False
    return True


def test_submit_csv_saves_the_results(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "flowers.csv").write_text(FLOWERS)
    program = EXAMPLES / "submit_csv.py"
    printed = output_of(sys.executable, program, stack.url, "flowers.csv", "results.csv", folder=tmp_path)
    assert "3 of 3 rows succeeded" in printed
    saved = (tmp_path / "results.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in saved[1:]] == ['"setosa"', '"virginica"', '"versicolor"']


def test_the_retry_loop_makes_a_single_job_of_two_runs(
    stack: Stack, tmp_path: Path, http: httpx.Client
) -> None:
    order = f"order-{tmp_path.name}"
    program = EXAMPLES / "mes_retry_loop.py"
    ran = [output_of(sys.executable, program, stack.url, order, folder=tmp_path) for _ in range(2)]
    assert ran == ["setosa\nvirginica\n"] * 2
    assert len(http.get("/jobs", params={"reference": order}).json()["jobs"]) == 1


def test_the_sdk_joins_results_to_a_data_frame(stack: Stack, tmp_path: Path) -> None:
    printed = output_of(sys.executable, EXAMPLES / "sdk_pandas.py", stack.url, folder=tmp_path)
    assert printed.split()[3:] == [
        "A-1",
        "1.4",
        "setosa",
        "A-2",
        "5.2",
        "virginica",
        "A-3",
        "4.1",
        "versicolor",
    ]


def test_the_webhook_receiver_takes_signed_messages_only() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/takt"
    body = json.dumps({"type": "job.succeeded", "data": {"id": "4711"}})
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", now, body),
    }
    with receiver(port) as process:
        eventually(lambda: answers(url), limit_s=30)
        assert httpx.post(url, content=body.replace("4711", "4712"), headers=headers).status_code == 401
        assert httpx.post(url, content=body, headers=headers).status_code == 204
        assert process.stdout is not None
        assert process.stdout.readline() == "msg_1 job.succeeded 4711\n"


@pytest.mark.tools
def test_the_java_program_submits_polls_and_reads_its_job(stack: Stack, tmp_path: Path) -> None:
    needs("java", "javac")
    program = EXAMPLES / "java" / "Job.java"
    ran = [output_of("java", program, stack.url, f"java-{tmp_path.name}", folder=tmp_path) for _ in range(2)]
    assert json.loads(ran[0])["results"][0]["prediction"] == "setosa"
    assert ran[1] == ran[0]  # the second run finds the same job


@pytest.mark.tools
def test_the_csharp_program_submits_polls_and_reads_its_job(stack: Stack, tmp_path: Path) -> None:
    needs("mcs", "mono")
    source = EXAMPLES / "csharp" / "Job.cs"
    output_of("mcs", "-r:System.Net.Http.dll", "-out:Job.exe", source, folder=tmp_path)
    ran = [output_of("mono", "Job.exe", stack.url, f"cs-{tmp_path.name}", folder=tmp_path) for _ in range(2)]
    assert json.loads(ran[0])["results"][0]["prediction"] == "setosa"
    assert ran[1] == ran[0]


@pytest.mark.tools
def test_the_powershell_program_saves_the_results(stack: Stack, tmp_path: Path) -> None:
    needs("pwsh")
    (tmp_path / "flowers.csv").write_text(FLOWERS)
    options = ("-Takt", stack.url, "-File", "flowers.csv", "-Order", f"ps-{tmp_path.name}")
    assert "3 of 3 rows" in output_of("pwsh", EXAMPLES / "powershell" / "job.ps1", *options, folder=tmp_path)
    assert (tmp_path / "results.csv").exists()


def test_every_example_is_in_the_index() -> None:
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tracked = subprocess.run(["git", "ls-files"], cwd=EXAMPLES, capture_output=True, text=True, check=True)
    programs = set(tracked.stdout.split()) - {"README.md"}
    assert len(programs) >= 7
    assert {program for program in programs if f"({program})" not in index} == set()
