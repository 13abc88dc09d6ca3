"""A supervisor stopped while a model is verified ends at once, even if native code holds the GIL there."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.support.poison import MODEL, poison_repository
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import STARTS_S, running

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_supervisor_whose_model_is_being_verified_ends_within_its_grace(
    valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    models_dir = str(poison_repository(tmp_path))
    loading = tmp_path / "loading"
    monkeypatch.setenv("POISON_LOADING", str(loading))
    with running(valkey.url, tmp_path, models_dir=models_dir, default_model=MODEL) as stack:
        part = stack.worker("worker", wait=False)
        eventually(lambda: loading.exists() or stack._alive(part), limit_s=STARTS_S)
        told_s = time.monotonic()
        assert part.end(how) == 0
        assert time.monotonic() - told_s < 5


def test_a_worker_that_has_loaded_its_models_still_stops_in_order(valkey: Server, tmp_path: Path) -> None:
    models_dir = str(poison_repository(tmp_path))
    with running(valkey.url, tmp_path, models_dir=models_dir, default_model=MODEL) as stack:
        part = stack.worker("worker")
        assert part.end(signal.SIGTERM) == 0
        assert part.has_said("worker_stopped")
