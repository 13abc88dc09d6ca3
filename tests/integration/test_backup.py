"""The commands of docs/backup.md, unchanged: a fresh Takt has the same data after a restore."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.callers import finished
from tests.support.documents import ROOT, titled
from tests.support.servers import Server, free_port, redis_binary
from tests.support.stack import running, wait_until_ready

pytestmark = pytest.mark.integration

COMMANDS = dict(titled(ROOT / "docs" / "backup.md"))
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.8, 2.7, 4.1, 1.0]]


def run(title: str, **places: str | Path | int) -> None:
    environment = os.environ | {name: str(place) for name, place in places.items()}
    done = subprocess.run(
        ["bash", "-euc", COMMANDS[title]],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_job_of_a_running_takt_reads_the_same_where_its_backup_was_restored(
    models: Path, tmp_path: Path
) -> None:
    old, new, backup = (tmp_path / name for name in ("old", "new", "backup"))
    for folder in (old / "data", new / "data", new / "payloads", backup):
        folder.mkdir(parents=True)
    with (
        Server(redis_binary(), old / "data") as server,
        running(server.url, old, models="iris") as takt,
    ):
        takt.gateway()
        takt.worker("worker")
        wait_until_ready(takt)
        with takt.client() as http:
            job_id = http.post("/jobs", json={"model": "iris", "inputs": ROWS, "reference": "kept"}).json()[
                "id"
            ]
            before = finished(http, f"/jobs/{job_id}")
            results = http.get(f"/jobs/{job_id}/results").json()
        run("back up", QUEUE=server.url, PAYLOADS=old / "payloads", BACKUP=backup)
    run("restore", DATA=new / "data", PAYLOADS=new / "payloads", BACKUP=backup, PORT=free_port())
    with (
        Server(redis_binary(), new / "data") as server,
        running(server.url, new) as restored,
    ):
        restored.gateway()
        with restored.client() as http:
            after = http.get(f"/jobs/{job_id}").json()
            assert (after["state"], after["reference"], after["finished_at"]) == (
                "succeeded",
                "kept",
                before["finished_at"],
            )
            assert http.get(f"/jobs/{job_id}/results").json() == results
