"""The conditions of a running service, as a gateway answers them at `GET /status`."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import msgspec

from shared.conditions import Severity, Status
from stack.command_errors import CommandError

ANSWER_LIMIT_S = 5.0


class ServiceCondition(msgspec.Struct, frozen=True):
    """A condition of `GET /status`."""

    code: str
    severity: Severity
    since: str
    message: str
    remedy: str


class ServiceStatus(msgspec.Struct, frozen=True):
    """The answer of `GET /status`."""

    status: Status
    conditions: Sequence[ServiceCondition]


class GatewaySilentError(CommandError):
    """The gateway does not answer."""


class KeyNeededError(CommandError):
    """The gateway answers only with a key."""


def read_status(url: str, api_key: str) -> ServiceStatus:
    """Ask a gateway. Raises GatewaySilentError, KeyNeededError, CommandError."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    direct = httpx.HTTPTransport()  # ignores the environment's proxies, as `takt up` does
    try:
        with httpx.Client(transport=direct, timeout=ANSWER_LIMIT_S) as http:
            answer = http.get(f"{url.rstrip('/')}/status", headers=headers)
    except httpx.HTTPError as error:
        reason = "no answer within 5 s" if isinstance(error, httpx.TimeoutException) else str(error)
        raise GatewaySilentError(f"the gateway at {url} does not answer: {reason}") from error
    if answer.status_code in (401, 403):
        raise KeyNeededError(f"the gateway at {url} requires an API key with the role read")
    try:
        return msgspec.json.decode(answer.raise_for_status().content, type=ServiceStatus)
    except (httpx.HTTPStatusError, msgspec.MsgspecError) as error:
        raise CommandError(f"{url}/status: {error}") from error
