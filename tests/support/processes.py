"""Listing of living processes."""

from __future__ import annotations

import contextlib
import os

import psutil


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    living = []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                living.append(process.pid)
    return living
