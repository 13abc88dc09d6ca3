"""Opens folders and object stores by URL, for payloads and for models.

    file:///folder                                a folder
    s3://bucket/prefix?endpoint=URL&region=NAME   Amazon S3, or a compatible store at `endpoint`
    gs://bucket/prefix, az://account/container    Google Cloud Storage, Azure Blob Storage

The URL never contains credentials: obstore reads them like the services' own tools (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, a role of the machine, …).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from obstore.store import LocalStore, ObjectStore, from_url

from shared.errors import OperatorError
from shared.setting_values import folder_of, is_folder

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

MAX_RETRIES = 4
"""Retries of a failing object store; obstore waits 0.1 s before the first, then longer."""
LIST_PAGE = 1000
"""Limit of S3 for objects removed in a request."""


def open_object_store(
    url: str, refusal: type[OperatorError], *, connect_s: float | None = None
) -> ObjectStore:
    """The store of a URL. Raises `refusal` if it cannot be used.

    `connect_s`: time limit for a connection to an object store; None: that of obstore.
    """
    try:
        if is_folder(url):
            return LocalStore(folder_of(url), mkdir=True)
        bare, config = _taken_apart(url, refusal)
        options: ClientConfig = {"allow_http": config.get("endpoint", "").startswith("http://")}
        if connect_s is not None:
            options["connect_timeout"] = f"{connect_s:g} seconds"
        return from_url(
            bare,
            config=cast("S3Config", config),
            client_options=options,
            retry_config={"max_retries": MAX_RETRIES},
        )
    except refusal:
        raise
    except Exception as error:
        raise refusal(f"{without_secrets(url)}: cannot be used: {reason_of(error)}") from error


def without_secrets(url: str) -> str:
    """The URL without parts that may be secret."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def reason_of(error: Exception) -> str:
    """The message without obstore's debug output, which follows after a line break."""
    return str(error).partition("\n")[0]


def _taken_apart(url: str, refusal: type[OperatorError]) -> tuple[str, dict[str, str]]:
    """The URL without its query, and the query. Raises `refusal` for credentials or unknown parameters."""
    parts = urlsplit(url)
    config = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "@" in parts.netloc or "@" in config.get("endpoint", ""):
        raise refusal(f"{without_secrets(url)}: credentials are not allowed in the URL.")
    if unknown := sorted(config.keys() - {"endpoint", "region"}):
        raise refusal(f"{without_secrets(url)}: {', '.join(unknown)} is not a parameter of the URL.")
    return urlunsplit(parts._replace(query="")), config
