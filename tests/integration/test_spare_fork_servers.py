"""Spare fork servers, each forked from the one before."""

from __future__ import annotations

import os
import sys

import psutil
import pytest

from tests.support.polling import eventually
from worker.control.control_messages import Forked, NotForked
from worker.control.operating_system import adopt_orphans
from worker.supervision.fork_server_link import ForkServerLink

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only"),
]
GENERATIONS = 150
"""More than Python's limit of frames, which would be reached if each fork had a deeper stack."""


@pytest.fixture
def first() -> ForkServerLink:
    adopt_orphans()
    server = ForkServerLink.start({}, None)
    eventually(server.replies, limit_s=60)
    return server


def successor_of(server: ForkServerLink) -> ForkServerLink:
    spare = server.start_spare()
    (reply,) = server.replies()
    assert isinstance(reply, Forked | NotForked)
    assert server.answered(reply) is spare
    assert isinstance(reply, Forked), reply
    spare.pid = reply.pid
    spare.list_versions({})
    assert spare.replies()
    return spare


def test_many_successors_take_no_more_memory_than_the_first(first: ForkServerLink) -> None:
    server, bytes_at = first, {}
    for number in range(GENERATIONS):
        spare = successor_of(server)
        server.end()
        os.waitpid(server.pid, 0)
        server = spare
        bytes_at[number] = psutil.Process(server.pid).memory_full_info().uss
    server.end()
    os.waitpid(server.pid, 0)
    assert bytes_at[GENERATIONS - 1] < bytes_at[9] + 4 * 2**20
