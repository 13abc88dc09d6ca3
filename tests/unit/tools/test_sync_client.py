"""The synchronous client is generated from the asynchronous client."""

from __future__ import annotations

import pytest

from tools.sync_client import FOLDER, MODULES, generated


@pytest.mark.parametrize("source", MODULES)
def test_the_committed_client_is_the_generated_client(source: str) -> None:
    assert (FOLDER / MODULES[source]).read_text() == generated(source), "run `make sync-client`"
