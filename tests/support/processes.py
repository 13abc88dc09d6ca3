"""Listing of living processes."""

from __future__ import annotations

import contextlib
import os

import psutil


def named_members(group: int, name: str) -> list[int]:
    """The living processes of a group with this name, oldest first."""
    found = [process for process in map(psutil.Process, members(group)) if _name(process) == name]
    return [process.pid for process in sorted(found, key=lambda process: process.pid)]


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    living = []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                living.append(process.pid)
    return living
