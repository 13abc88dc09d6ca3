"""Failures of connections to Redis."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from redis.exceptions import ConnectionError as ConnectionBroke

from shared.connections import connect_async
from tests.support.servers import Server

pytestmark = pytest.mark.integration


def test_a_connection_that_closed_as_it_was_written_to_is_a_broken_connection(valkey: Server) -> None:
    async def write_on_a_closed_transport() -> None:
        async with connect_async(valkey.url) as client:
            connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            connection._writer.transport.abort()
            await asyncio.sleep(0)  # the transport closes in the loop's next turn
            try:
                await connection.send_command("PING")
            finally:
                await client.connection_pool.release(connection)

    with pytest.raises(ConnectionBroke):
        uvloop.run(write_on_a_closed_transport())
