"""The synchronous client is generated from the asynchronous client."""

from __future__ import annotations

from tools.sync_client import TARGET, generated


def test_the_committed_client_is_the_generated_client() -> None:
    assert TARGET.read_text() == generated(), "run `make sync-client`"
