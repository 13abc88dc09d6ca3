"""A gateway's admin API for the operator's commands: by URL, with the key in TAKT_API_KEY."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from urllib.parse import quote

from stack.command_errors import CommandError
from takt import decoding
from takt.bodies import of_document
from takt.calls import Call
from takt.errors import TaktError
from takt.retries import NEVER
from takt.session import Session

Json: TypeAlias = dict[str, Any]
"""A document of the API (Any: JSON values)."""


class GatewayApi(Session):
    """Calls raise takt.errors.TaktError."""

    def read(self, *path: str, **query: object) -> Json:
        """GET. `path`: its parts, unquoted."""
        params = tuple((name, str(value)) for name, value in query.items() if value is not None)
        found: Json = self._do(Call("GET", _path(path), decoding.document, params=params))
        return found

    def change(self, method: str, *path: str, body: Json | None = None, **query: object) -> Json:
        """A change that answers with a document."""
        params = tuple((name, str(value)) for name, value in query.items() if value is not None)
        given = None if body is None else of_document(body)
        call = Call(method, _path(path), decoding.document, params=params, body=given, repeatable=False)
        found: Json = self._do(call)
        return found

    def act(self, method: str, *path: str) -> None:
        """A change without an answer."""
        self._do(Call(method, _path(path), decoding.nothing, repeatable=False))


def _path(parts: tuple[str, ...]) -> str:
    return "".join(f"/{quote(part, safe='/')}" for part in parts)


@contextmanager
def opened(url: str) -> Iterator[GatewayApi]:
    """The API of a gateway. Raises CommandError for whatever the gateway refuses."""
    try:
        with GatewayApi(url, retries=NEVER) as api:
            yield api
    except TaktError as error:
        hint = "; set TAKT_API_KEY" if error.code in ("unauthorized", "forbidden") else ""
        raise CommandError(f"{url}: {error.detail}{hint}") from error
