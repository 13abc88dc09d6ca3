"""`make audit`: checks the tested package versions for known vulnerabilities.

It queries PyPI, so it needs the internet. If PyPI is unreachable, it prints a warning and passes. If it finds
a vulnerability, it exits with 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"
LIMIT_S = 180.0


@dataclass(frozen=True)
class AuditVerdict:
    """The result of an audit."""

    checked: int = 0
    unknown: int = 0
    findings: tuple[str, ...] = ()

    @property
    def as_text(self) -> str:
        if not self.checked:
            return "audit: NOTHING WAS CHECKED: the database of vulnerabilities is unreachable"
        unknown = f"; {self.unknown} not in the database" if self.unknown else ""
        return f"audit: {self.checked} packages checked, {len(self.findings)} findings{unknown}"


def verdict_of(report: str) -> AuditVerdict:
    """Parses the JSON report of pip-audit; any other output means that nothing was checked."""
    try:
        found: list[dict[str, Any]] = json.loads(report)["dependencies"]  # Any: JSON
    except (ValueError, KeyError):
        return AuditVerdict()
    checked = [package for package in found if "skip_reason" not in package]
    return AuditVerdict(len(checked), len(found) - len(checked), tuple(_findings(checked)))


def _findings(checked: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{package['name']} {package['version']}: {found['id']}, fixed in "
        f"{', '.join(found['fix_versions']) or 'no version yet'}"
        for package in checked
        for found in package["vulns"]
    ]


def _asked() -> str:
    words = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S).stdout
    except subprocess.TimeoutExpired:
        return ""


def main() -> int:
    verdict = verdict_of(_asked())
    for line in (*verdict.findings, verdict.as_text):
        typer.echo(line)
    return 1 if verdict.findings else 0


if __name__ == "__main__":
    sys.exit(main())
