"""A gateway without memory answers 503, not a client error, and continues to run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.servers import Server
from tests.support.stack import running

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the data of a running process"),
]

ROOMS = [16 << 20, 40 << 20, 80 << 20]
"""With the second to last, Arrow's CSV parser ended the process by itself."""


@pytest.mark.parametrize("room", ROOMS)
def test_a_gateway_without_memory_refuses_uploads_and_serves_on(
    valkey: Server, tmp_path: Path, room: int
) -> None:
    import resource

    rows = b"1.5,2.5,3.5,4.5\n" * 1_000_000
    csv = b"sepal_length,sepal_width,petal_length,petal_width\n" + rows
    with running(valkey.url, tmp_path) as stack:
        part = stack.gateway()
        with stack.client(timeout_s=60) as http:
            status = Path(f"/proc/{part.pid}/status").read_text(encoding="ascii")
            used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
            limit = used * 1024 + room
            resource.prlimit(part.pid, resource.RLIMIT_DATA, (limit, limit))
            refused = http.post("/jobs?model=iris", content=csv, headers={"content-type": "text/csv"})
            assert (refused.status_code, refused.json()["error"]) == (503, "overloaded")
            assert http.get("/health/live").status_code == 200
            assert part.running
