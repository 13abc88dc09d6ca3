"""`Prefer: respond-async` on a prediction: the rows become a job, and the response has its location."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import Response

from api.access.principal import Principal
from api.gateway import Gateway
from api.jobs.job_options import JobOptions
from api.jobs.json_chunks import chunks_of_values
from api.jobs.json_rows import submit_rows
from api.models.catalog import Servable
from api.routes.jobs.submission_responses import acceptance
from shared.api_keys import Role
from shared.tabular.chunking import Chunk
from shared.validation import Values


async def defer(
    gateway: Gateway,
    caller: Principal,
    servable: Servable,
    values: Values,
    *,
    headers: Mapping[bytes, bytes],
    body: bytes,
) -> Response:
    """Create a job from the rows and return 202, even if online admission would reject the request.

    An Idempotency-Key covers the model version and the body. Raises Forbidden if the key may not submit jobs.
    """
    caller.require(Role.SUBMIT)
    key = headers.get(b"idempotency-key")
    record, replayed = await submit_rows(
        gateway.jobs,
        caller,
        servable,
        await asyncio.to_thread(_cut, gateway, caller, servable, values),
        JobOptions(),
        key=key.decode("latin-1") if key is not None else None,
        body=servable.key.encode() + b"\n" + body,
    )
    response = await acceptance(gateway, record, None, replayed=replayed)
    response.headers["Preference-Applied"] = "respond-async"
    return response


def _cut(gateway: Gateway, caller: Principal, servable: Servable, values: Values) -> list[Chunk]:
    return chunks_of_values(
        servable.spec,
        values,
        chunk_rows=gateway.jobs.chunk_rows(servable, caller),
        chunk_bytes=gateway.settings.chunk_bytes,
    )
