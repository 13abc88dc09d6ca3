"""h2load from Debian's nghttp2-client: a thread in C, with a log of every request for exact percentiles."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from bench.loads import Load, Shot


def _missing() -> str | None:
    return None if shutil.which("h2load") else "h2load is not installed (apt-get install nghttp2-client)"


def _command(shot: Shot) -> Sequence[str]:
    headers = [word for name, value in shot.headers.items() for word in ("-H", f"{name}: {value}")]
    return [
        *("h2load", "--h1", "-t1", "-m1", "-c", str(shot.connections)),
        *("-D", f"{round(shot.duration_s * 1000)}ms"),
        *headers,
        *("-d", str(shot.body_file), "--log-file", str(shot.log_file), shot.url),
    ]


LOAD = Load("h2load", "h2load --h1 -t1 -m1", _missing, _command)
