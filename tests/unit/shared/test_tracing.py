"""Tracing costs nothing without a collector: its libraries are not even loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shared.settings import Settings

GATEWAY = "from api.app import create_app; create_app(Settings(redis_url='redis://127.0.0.1:1/0'{}))"
WORKER = (
    "import worker.broker.celery_app; from worker.telemetry.worker_tracing import open_traces; "
    "open_traces(Settings({}), 'w')"
)
TRACED = "otlp_endpoint='http://127.0.0.1:1'"
WITHOUT_THE_EXTRA = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def run(*statements: str) -> subprocess.CompletedProcess[str]:
    """Run these lines in a fresh interpreter. → the modules that it has loaded"""
    program = "\n".join(
        ["import sys\nfrom shared.settings import Settings", *statements, "print(*sys.modules)"]
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("program", [GATEWAY, WORKER], ids=["gateway", "worker"])
def test_without_a_collector_neither_a_tracer_nor_an_exporter_is_loaded(program: str) -> None:
    done = run(program.format(""))
    # FastAPI and redis-py load OpenTelemetry's interfaces and metrics for themselves, where they are there
    spans = ("opentelemetry.exporter", "opentelemetry.sdk.trace", "opentelemetry.proto", "google.protobuf")
    loaded = done.stdout.split()
    assert "shared.settings" in loaded
    assert [name for name in loaded if name.startswith((*spans, "shared.tracing"))] == []


@pytest.mark.parametrize("program", [GATEWAY, WORKER], ids=["gateway", "worker"])
def test_a_program_needs_the_extra_only_where_a_collector_is_set(program: str) -> None:
    assert run(WITHOUT_THE_EXTRA, program.format("")).returncode == 0
    traced = run(WITHOUT_THE_EXTRA, program.format(TRACED if program is WORKER else f", {TRACED}"))
    assert traced.returncode != 0
    assert "install the extra `tracing`" in traced.stderr


def test_the_standards_name_for_the_endpoint_counts_where_both_are_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.setenv("TAKT_OTLP_ENDPOINT", "http://ours:4318/")
    assert Settings().traces_url() == "http://ours:4318/v1/traces"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard:4318")
    assert Settings().traces_url() == "http://standard:4318/v1/traces"
