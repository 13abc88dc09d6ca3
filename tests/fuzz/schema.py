"""Schemathesis with Takt's OpenAPI document: every operation, with valid and invalid requests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


def fuzz(
    url: str, *, examples: int, seed: int, folder: Path, limit_s: float, versions: bool
) -> tuple[int, str]:
    """Fuzz a running Takt. `versions`: include the paths of each model version, with the same operations.

    Returns the exit status, 0 without findings, and Schemathesis' output.
    """
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    command += ["--config-file", str(Path(__file__).parent / "schemathesis.toml"), "--no-color"]
    command += ["run", f"{url}/openapi.json", "--checks", ",".join(CHECKS)]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", str(examples), "--seed", str(seed)]
    command += ["--exclude-path", "/v2/repository/models/{model}/unload"]  # it would end all other calls
    command += [] if versions else ["--exclude-path-regex", "/versions/[^{]"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=limit_s, check=False)
    return done.returncode, done.stdout + done.stderr
