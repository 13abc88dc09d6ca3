"""Generates the SDK's synchronous modules from the asynchronous ones: `python -m tools.sync_client`.

The two clients differ only in `async`, `await` and a few names. Examples in docstrings are converted too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "client/takt"
MODULES = {
    "asynchronous.py": "client.py",
    "async_model_calls.py": "model_calls.py",
    "async_session.py": "session.py",
}
"""The generated module of each asynchronous module."""
_NOTE = "# Generated from {} by `make sync-client`: edit that file.\n"
_REPLACEMENTS = (
    (r"`AsyncTakt`: the asyncio client", "`Takt`: the client"),
    (r"Calls of the asyncio client", "Calls of the client"),
    (r"\basync_(?=session\b|model_calls\b)", ""),
    (r"\bAsync(?=Session\b|ModelCalls\b)", ""),
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


def generated(source: str) -> str:
    """Returns the text of the synchronous module, formatted by ruff. `source`: the asynchronous module."""
    text = (FOLDER / source).read_text()
    for pattern, replacement in _REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    text = re.sub(r"(?m)^(?=# ruff: noqa|from __future__)", _NOTE.format(source), text, count=1)
    target = FOLDER / MODULES[source]
    fixed = _ruff(["check", "--select", "I,UP028,SIM117", "--fix", "--unsafe-fixes", "--quiet"], text, target)
    return _ruff(["format"], fixed, target)


def _ruff(arguments: list[str], text: str, target: Path) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(target), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for asynchronous, synchronous in MODULES.items():
        (FOLDER / synchronous).write_text(generated(asynchronous))
