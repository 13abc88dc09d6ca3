"""Settings, read from environment variables `TAKT_<NAME>`. No other module reads the environment.

The defaults suit one machine. Names contain the unit. Values are read once, when a program starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Self

from pydantic import (
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from shared.api_keys import Role
from shared.durability import Durability, Promise
from shared.redis_urls import check_url, completed
from shared.setting_fields import SettingFields
from shared.setting_values import (
    check_origins,
    explanation,
    folder_of,
    is_folder,
    listed,
    networks,
    roles_by_group,
    size_in_bytes,
    webhook_keys,
)

_LOOPBACKS = frozenset(("127.0.0.1", "::1", "localhost"))


class Settings(SettingFields):
    """Settings of every part of Takt."""

    @field_validator("*", mode="before")
    @classmethod
    def _read_sizes(cls, value: object, info: ValidationInfo) -> object:
        is_size = str(info.field_name).endswith("_bytes")
        return size_in_bytes(value) if is_size and isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        check_url(url.get_secret_value())
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _check_secrets(cls, secret: SecretStr) -> SecretStr:
        webhook_keys(secret.get_secret_value())
        return secret

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, text: str) -> str:
        check_origins(text)
        return text

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, text: str) -> str:
        if text:
            check_origins(text.rstrip("/"))
        return text.rstrip("/")

    @field_validator("sign_in_roles")
    @classmethod
    def _check_roles(cls, text: str) -> str:
        roles_by_group(text)
        return text

    @field_validator("webhook_allow", "trusted_proxies")
    @classmethod
    def _check_networks(cls, text: str) -> str:
        networks(text)
        return text

    @field_validator("payload_url")
    @classmethod
    def _default_payloads(cls, url: str) -> str:
        return url or (Path.cwd() / ".takt" / "payloads").as_uri()

    @model_validator(mode="after")
    def _watchdog_before_lease(self) -> Self:
        # during a hung call the lease is not renewed: its process must end before another claims the chunk
        if self.batch_limit_s + 1 >= self.lease_s:
            raise ValueError("TAKT_LEASE_S must be more than a second longer than TAKT_BATCH_LIMIT_S")
        return self

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if bool(self.grpc_cert_file) != bool(self.grpc_key_file):
            raise ValueError("TAKT_GRPC_CERT_FILE and TAKT_GRPC_KEY_FILE must be set together")
        if self.grpc_client_ca_file and not self.grpc_cert_file:
            raise ValueError("TAKT_GRPC_CLIENT_CA_FILE requires TAKT_GRPC_CERT_FILE")
        return self

    @model_validator(mode="after")
    def _sign_in_is_complete(self) -> Self:
        needed: dict[str, str] = {}
        if self.oidc_issuer:
            needed |= {"TAKT_OIDC_CLIENT_ID": self.oidc_client_id, "TAKT_PUBLIC_URL": self.public_url}
        if self.proxy_user_header:
            needed |= {"TAKT_TRUSTED_PROXIES": self.trusted_proxies, "TAKT_PUBLIC_URL": self.public_url}
        for name, value in needed.items():
            if not value:
                raise ValueError(f"{name} must be set for sign-in")
        return self

    @model_validator(mode="after")
    def _delay_within_grace(self) -> Self:
        if self.drain_delay_s and self.drain_delay_s + 2 > self.shutdown_grace_s:
            raise ValueError("TAKT_SHUTDOWN_GRACE_S must be at least 2 s longer than TAKT_DRAIN_DELAY_S")
        return self

    def uses_object_store(self) -> bool:
        """Whether models lie in an object store, of which this machine has a cache."""
        return bool(self.models_url) and not is_folder(self.models_url)

    def models_folder(self) -> Path:
        """The folder of the models that are served: the store, or the cache of an object store."""
        if self.uses_object_store():
            return self.models_cache_dir.absolute() / "models"
        return folder_of(self.models_url) if self.models_url else self.models_dir

    def exposed(self) -> bool:
        """Whether other machines can reach the gateway."""
        host = self.publish.rpartition(":")[0] if self.publish else self.host
        return host.strip("[]") not in _LOOPBACKS

    def origins(self) -> tuple[str, ...]:
        """Browser origins that may call the gateway."""
        return listed(self.cors_origins)

    def host_names(self) -> frozenset[str] | None:
        """The host names that requests may have; None: any.

        A web page can let its own name lead to this machine (DNS rebinding), and then use an open gateway.
        """
        given = frozenset(name.lower() for name in listed(self.allowed_hosts))
        if "*" in given or (not given and (self.asks_for_keys() or self.exposed())):
            return None
        return given

    def roles_of_groups(self) -> dict[str, frozenset[Role]]:
        """The roles of people who sign in, by group."""
        return roles_by_group(self.sign_in_roles)

    def asks_for_keys(self) -> bool:
        """Whether requests need an API key."""
        return self.access == "keys" or (self.access == "auto" and self.exposed())

    def model_names(self) -> frozenset[str] | None:
        """The names in `models`, or None for all of them."""
        names = frozenset(name.strip() for name in self.models.split(",") if name.strip())
        return None if names == {"all"} else names

    def traces_url(self) -> str:
        """URL to which spans are posted: the endpoint with the path of the OTLP specification."""
        return f"{self.otlp_endpoint.rstrip('/')}/v1/traces"

    def writes_through(self) -> bool:
        """Whether payloads are synced before the ledger refers to them: a durable job needs its rows."""
        return self.fsync_payloads or self.durability is not Promise.MEMORY

    def durable(self) -> Durability:
        """The durability that a 202 promises to the client of a job."""
        limit_ms = round(self.durability_limit_s * 1000)
        return Durability(self.durability, limit_ms, vouched=self.appendfsync == "always")

    def webhook_keys(self) -> tuple[bytes, ...]:
        """Signing keys of webhooks, newest first; empty: no webhooks."""
        return webhook_keys(self.webhook_secret.get_secret_value())

    def webhook_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The private networks that webhooks may reach."""
        return networks(self.webhook_allow)

    def redis_dsn(self) -> str:
        """The complete Redis URL, with its password: for clients, never for logs."""
        return completed(
            self.redis_url.get_secret_value(),
            username=self.redis_username,
            password=self.redis_password.get_secret_value(),
            ca_file=self.redis_ca_file,
        )


@cache
def settings() -> Settings:
    """The settings of this process. Raises SystemExit with a message per invalid setting."""
    try:
        return Settings()
    except ValidationError as error:
        raise SystemExit("\n".join(map(explanation, error.errors()))) from None


def environment(overrides: dict[str, str]) -> dict[str, str]:
    """The environment of a child program: this process's, with `TAKT_` settings replaced."""
    return os.environ | {f"TAKT_{name.upper()}": value for name, value in overrides.items()}


def environment_names() -> Iterable[str]:
    """The names of all variables of this process's environment."""
    return tuple(os.environ)
