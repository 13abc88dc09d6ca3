"""Generates the SDK's `client.py` from `asynchronous.py`: `python -m tools.sync_client`.

The two clients differ only in `async`, `await` and a few names. Examples in docstrings are converted too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "client/takt"
SOURCE, TARGET = FOLDER / "asynchronous.py", FOLDER / "client.py"
_NOTE = "# Generated from asynchronous.py by `make sync-client`: edit that file.\n"
_REPLACEMENTS = (
    (r"`AsyncTakt`: the asyncio client", "`Takt`: the client"),
    (r", for use in one event loop\.", "."),
    (r"\(await ((?:[^()]|\([^()]*\))*)\)\.", r"\1."),  # the parentheses of `(await call()).name`
    (r"\basync (?=def|for|with)|\bawait ", ""),
    (r"\bAsyncTakt\b", "Takt"),
    (r"\bAwaitable\[T\]", "T"),
    (r"\bAwaitable, ", ""),
    (r"\bAsync(?=Iterator\b|Client\b|BaseTransport\b)", ""),
    (r"\basync_(?=pieces_of|write)", ""),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\basyncio\b", "time"),
    (r"\b__a(?=enter__|exit__)", "__"),
    (r"\ba(?=close\(|read\(|iter_bytes\()", ""),
)


def generated() -> str:
    """Returns the text of `client.py`, formatted by ruff."""
    text = SOURCE.read_text()
    for pattern, replacement in _REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    text = text.replace("# ruff: noqa: A002", f"{_NOTE}# ruff: noqa: A002", 1)
    fixed = _ruff(["check", "--select", "I,UP028,SIM117", "--fix", "--unsafe-fixes", "--quiet"], text)
    return _ruff(["format"], fixed)


def _ruff(arguments: list[str], text: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    TARGET.write_text(generated())
