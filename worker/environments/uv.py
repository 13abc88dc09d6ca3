"""Runs uv, and puts its errors into a sentence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from shared.errors import ArtifactError
from shared.settings import Settings

_UNREACHABLE = ("error sending request", "dns error", "tcp connect error", "network was disabled")
_MOST_CHARACTERS = 600


def program() -> Path:
    """The program `uv`. Raises ArtifactError with the fix if it is not installed."""
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        if found := shutil.which("uv"):
            return Path(found)
    raise ArtifactError(
        "environment: making one needs uv, which is not installed: pip install 'takt-server[environments]'"
    )


class Uv:
    """uv with the settings of this machine: a package index, or a folder of wheels."""

    def __init__(self, settings: Settings) -> None:
        self._program = program()
        self._wheels = settings.wheels
        self._index = settings.index_url.get_secret_value()

    def packages(self, *arguments: str, text: str = "") -> str:
        """`uv pip …` with the sources of packages. → its output. Raises ArtifactError."""
        sources = ["--no-index", "--find-links", str(self._wheels.absolute())] if self._wheels else []
        # only wheels: building a package would run code of the package
        return self.run("pip", *arguments, "--only-binary", ":all:", *sources, text=text)

    def run(self, *arguments: str, text: str = "") -> str:
        """Run a command of uv with `text` as its input. → its output. Raises ArtifactError."""
        own = {"UV_DEFAULT_INDEX": self._index} if self._index else {}  # may contain a password: no argument
        done = subprocess.run(  # noqa: S603 - starts uv
            [str(self._program), "--no-progress", "--color", "never", *arguments],
            input=text,
            env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | own,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ArtifactError(f"environment: {self._explained(done.stderr)}")
        return done.stdout

    def _explained(self, errors: str) -> str:
        causes = causes_of(errors)
        if any(sign in cause for cause in causes for sign in _UNREACHABLE):
            return (
                f"the package index cannot be reached ({causes[0]}): set TAKT_INDEX_URL to an index that "
                "this machine reaches, or TAKT_WHEELS to a folder with the wheels"
            )
        text = ": ".join(causes)[:_MOST_CHARACTERS]
        if self._wheels and "package locations" in text:
            text += f" (TAKT_WHEELS={self._wheels})"
        return text


def causes_of(errors: str) -> Sequence[str]:
    """The messages of uv's errors, the general message first."""
    found = re.split(r"^\s*(?:error|cause): ", f"\n{errors}", flags=re.MULTILINE)[1:]
    texts = (re.sub(r"\^+$| in `-` at position \d+", "", cause.strip()) for cause in found)
    return [" ".join(text.split()).rstrip(".") for text in texts] or ["uv failed without a message"]
