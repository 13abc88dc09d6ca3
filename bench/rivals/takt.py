"""Takt as `takt up` runs it: embedded queue, one gateway, one worker with one thread."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.answers import ROW, guide_answer
from bench.rivals import Place, Rival


def _command(place: Place) -> Sequence[str]:
    takt = str(Path(sys.executable).with_name("takt"))
    repository = str(place.artifact.parents[2])  # <repository>/<model>/<version>/<artifact>
    served = ("--models", "iris", "--models-dir", repository, "--workers", "1")
    return [takt, "up", *served, "--port", str(place.port), "--data", str(place.folder / "data")]


RIVAL = Rival(
    name="takt",
    about="takt up: Valkey, one gateway, one worker",
    command=_command,
    path="/predict",
    body=json.dumps(ROW).encode(),
    answer=guide_answer,
    parts={"api": "gateway", "worker": "worker", "valkey-server": "queue", "redis-server": "queue"},
    timed=True,
)
