"""Fixtures of the client's tests."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.unit.client.client_fakes import Handler, Serve


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Replace the network by a function."""

    def become(handler: Handler) -> None:
        real = httpx.Client

        def over(**options: Any) -> httpx.Client:  # Any: httpx's own options
            return real(**options | {"transport": httpx.MockTransport(handler)})

        monkeypatch.setattr("httpx.Client", over)

    return become
