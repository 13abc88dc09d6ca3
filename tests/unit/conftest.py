"""Settings and fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.ledgers import Clients, House

# The first example pays for lazy imports, and machines are shared: a deadline would test those.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


@pytest.fixture(
    params=[
        "fakeredis",
        pytest.param("valkey", marks=pytest.mark.integration),
        pytest.param("redis7", marks=pytest.mark.integration),
    ]
)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """The clients of an empty server, of each kind in turn."""
    server: str = request.param
    made = Clients.of_fake() if server == "fakeredis" else Clients.of_url(request.getfixturevalue(server).url)
    yield made
    made.close()


@pytest.fixture
def house(clients: Clients) -> House:
    return House(clients)
