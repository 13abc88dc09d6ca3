"""Takt started by `takt up`: embedded queue, a gateway, and a worker with a single thread."""

from __future__ import annotations

from collections.abc import Sequence

from bench.rivals import Place, Rival


def up(place: Place) -> Sequence[str]:
    """The `takt up` command line for the place's model only."""
    takt = str(place.python.with_name("takt"))
    served = ("--models", place.subject.name, "--models-dir", str(place.subject.repository), "--workers", "1")
    return [takt, "up", *served, "--port", str(place.port), "--data", str(place.folder / "data")]


PARTS = {"api": "gateway", "worker": "worker", "valkey-server": "queue", "redis-server": "queue"}

RIVAL = Rival(
    name="takt",
    about="takt up: Valkey, one gateway, one worker",
    command=up,
    many_path="/predict/batch",
    parts=PARTS,
    timed=True,
    environment={"TAKT_GATEWAYS": "1"},  # also on a machine with many cores
)
