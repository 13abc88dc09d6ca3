"""Environments of the clients: a virtual environment for each, made once and kept in `.bench/clients`."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import ROOT

FOLDER = ROOT / ".bench" / "clients"
INSTALL_LIMIT_S = 600.0
PACKAGES = {
    "triton": ("tritonclient[http,grpc]==2.73.0", "grpcio-health-checking", "grpcio-reflection"),
    "kserve": ("kserve==0.21.0",),
    "mlserver": ("mlserver==1.7.1", "pandas<3", "requests"),
    "mlflow": ("mlflow-skinny==3.17.2", "pandas", "requests", "scipy"),
    "mlflow-server": ("mlflow==3.17.2",),
}


def python_of(client: str) -> Path:
    """The Python of a client's environment. Skips the test if its packages cannot be installed."""
    folder, packages = FOLDER / client, PACKAGES[client]
    python, stamp = folder / "bin" / "python", folder / "stamp"
    wanted = hashlib.sha256("\n".join((*packages, sys.version)).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    try:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", *packages)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"{client} cannot be installed: {error}")
    stamp.write_text(wanted)
    return python


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_LIMIT_S)
