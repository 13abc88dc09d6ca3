"""Like the rival `takt`, but without compiled models, to measure the benefit of the compiled runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.rivals import Place
from bench.rivals.takt import RIVAL as TAKT


def _command(place: Place) -> Sequence[str]:
    return ["env", "TAKT_RUNTIME=native", *TAKT.command(place)]


RIVAL = replace(TAKT, name="takt_native", about="takt up with TAKT_RUNTIME=native", command=_command)
