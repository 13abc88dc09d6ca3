"""Takt as in `takt`, but no model compiled: what the compiled runtimes are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.rivals import Place
from bench.rivals.takt import RIVAL as TAKT


def _command(place: Place) -> Sequence[str]:
    return ["env", "TAKT_RUNTIME=native", *TAKT.command(place)]


RIVAL = replace(TAKT, name="takt_native", about="takt up with TAKT_RUNTIME=native", command=_command)
