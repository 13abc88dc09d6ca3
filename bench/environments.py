"""Python environments of the rivals: a virtual environment for each rival with its own requirements.

The environment is built once and contains only the server. The model's libraries (numpy, scikit-learn, torch)
are this program's and come after the environment's in the path, so that all rivals load the artifact with the
same code.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.rivals import Rival
from bench.subjects import ROOT

CACHE = ROOT / ".bench" / "venvs"
_INSTALL_LIMIT_S = 900.0
_LAST_WORDS = 300


@dataclass(frozen=True)
class Entrant:
    """A rival that can run here, and its Python."""

    rival: Rival
    python: Path

    def version(self) -> str | None:
        """The version of the rival's distribution, or None if it has none."""
        name = self.rival.distribution
        if name is None:
            return None
        asks = f"from importlib.metadata import version; print(version({name!r}))"
        said = subprocess.run([self.python, "-c", asks], capture_output=True, text=True, check=True)
        return said.stdout.strip()


class CannotInstall(Exception):
    """A rival's libraries cannot be installed; contains the end of pip's output."""


def enter(rivals: Iterable[Rival], say: Callable[[str], None]) -> tuple[list[Entrant], dict[str, str]]:
    """The rivals that can run here, and the reasons for the others."""
    entrants, skipped = [], {}
    for rival in rivals:
        try:
            entrants.append(entrant(rival, say))
        except CannotInstall as error:
            skipped[rival.name] = str(error)
            say(f"{rival.name} is skipped because it cannot be installed: {error}")
    return entrants, skipped


def versions(entrants: Iterable[Entrant]) -> dict[str, str]:
    """Versions by distribution, for rivals with their own requirements."""
    found = {one.rival.distribution: one.version() for one in entrants}
    return {name: version for name, version in found.items() if name and version}


def entrant(rival: Rival, say: Callable[[str], None]) -> Entrant:
    """Prepare a rival and install its libraries if needed. Raises CannotInstall."""
    if rival.requirements is None:
        return Entrant(rival, Path(sys.executable))
    folder = CACHE / (rival.distribution or rival.name)
    python, stamp = folder / "bin" / "python", folder / "bench-stamp"
    wanted = _digest(rival.requirements)
    if not (stamp.exists() and stamp.read_text() == wanted):
        say(f"{rival.name}: installing {rival.requirements.read_text().strip()} (once)")
        _install(folder, rival.requirements)
        stamp.write_text(wanted)
    return Entrant(rival, python)


def _digest(requirements: Path) -> str:
    """The environment's inputs; a change of any of them rebuilds the environment."""
    parts = (requirements.read_text(), sys.version, _own_libraries(), _numpy())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _own_libraries() -> str:
    """The environment's resolved folder, which several checkouts may share through symbolic links."""
    return str(Path(sysconfig.get_path("purelib")).resolve())


def _numpy() -> str:
    return f"numpy=={version('numpy')}"


def _install(folder: Path, requirements: Path) -> None:
    python = folder / "bin" / "python"
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements), _numpy()])
    site = next((folder / "lib").glob("python3*")) / "site-packages"
    (site / "models-libraries.pth").write_text(f"{_own_libraries()}\n")


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_LIMIT_S)
    except subprocess.CalledProcessError as error:
        raise CannotInstall(error.stderr.strip()[-_LAST_WORDS:]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(str(error)) from error
