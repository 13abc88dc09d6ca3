"""Listing of living processes."""

from __future__ import annotations

import contextlib
import os

import psutil


def named_members(group: int, name: str) -> list[int]:
    """The living processes of a group with this name, oldest first."""
    return sorted(pid for pid in members(group) if _name(pid) == name)


def _name(pid: int) -> str:
    """Empty for a process that has ended meanwhile."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).name()
    return ""


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    living = []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                living.append(process.pid)
    return living
