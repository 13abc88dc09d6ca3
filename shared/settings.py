"""What the environment decides. No other module reads it.

Every setting is an environment variable `TAKT_<NAME>`; its default serves one machine. Quantities carry
their unit. Values are read once, when a program starts.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.durability import Durability, Promise
from shared.redis_urls import check_url, completed
from shared.sentinels import is_sentinel, sentinel_address
from shared.setting_values import listed, networks, size_in_bytes, webhook_keys

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")
_LOOPBACKS = frozenset(("127.0.0.1", "::1", "localhost"))


class Settings(BaseSettings):
    """Settings of every part of Takt."""

    # an error names the setting and the reason, not what was set: it may be a secret
    model_config = SettingsConfigDict(
        env_prefix="TAKT_",
        env_file=None,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    # What both sides share
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis ≥ 7.0 or Valkey ≥ 7.2: redis://, rediss://, or redis+sentinel://host:26379,"
        "host:26379/SERVICE (rediss+sentinel:// over TLS). May hold a password: never logged.",
    )
    redis_username: str = Field("", description="Whom Redis knows Takt as (ACL), where the URL does not say.")
    redis_password: SecretStr = Field(
        SecretStr(""), description="Redis' password, where the URL does not hold it. Never logged."
    )
    redis_ca_file: str = Field(
        "",
        description="Whom the certificates of servers and Sentinels over TLS are to be from: a file of CA "
        "certificates (PEM). Empty: the system's.",
    )
    models_dir: Path = Field(
        Path("models"), description="The model repository: <name>/model.toml and <name>/<version>/."
    )
    payload_url: str = Field(
        "",
        description="Where a job's rows and results lie: file:///folder, or an object store's URL such as "
        "s3://bucket/prefix?endpoint=…&region=…. Empty: .takt/payloads here.",
    )
    max_stored_bytes: int | None = Field(
        None,
        gt=0,
        description="What the payload folder may hold before no job is taken. Unset: what the disk has.",
    )
    payload_compression: Literal["auto", "lz4", "none"] = Field(
        "auto",
        description="How stored rows and results are compressed. `auto`: by LZ4 in an object store, and not "
        "in a folder, which is faster than LZ4: numbers then take about twice the room, texts more.",
    )
    fsync_payloads: bool = Field(
        True,
        description="Whether rows and results in a folder are on the disk before the queue refers to them. "
        "`false`: a power cut may empty those of the last half minute or more.",
    )
    durability: Promise = Field(
        Promise.MEMORY,
        description="Where a job must be before its 202: in the queue's `memory`, on its `disk`, on a "
        "`replica`. Anything but memory also writes payloads through.",
    )
    durability_limit_s: float = Field(
        2.0, gt=0, le=2.5, description="How long a submission waits for that; then it is a 503."
    )
    appendfsync: Literal["ask", "always"] = Field(
        "ask",
        description="Whether the queue has `appendfsync always`, which TAKT_DURABILITY=disk demands. "
        "`ask`: the server is asked. `always`: it has, and it refuses `CONFIG GET`, as managed servers do.",
    )
    default_model: str = Field(
        "iris", description="The model behind /predict, /predict/batch and /model-info."
    )
    log_format: Literal["console", "json"] = Field("console", description="How log events are written.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    access_log: bool = Field(False, description="Log each request that was answered, without its query.")
    otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT", "TAKT_OTLP_ENDPOINT"),
        description="The OTLP/HTTP collector that traces go to, such as http://collector:4318. Empty: no "
        "traces. OTEL_EXPORTER_OTLP_ENDPOINT, the standard's name, counts instead where both are set.",
    )

    # Gateway
    host: str = Field("127.0.0.1", description="The address that the gateway listens on.")
    port: int = Field(8000, ge=0, le=65535, description="The port that the gateway listens on.")
    publish: str = Field(
        "",
        description="Where a container's port is published, as ADDRESS:PORT; it counts instead of the "
        "address that the gateway listens on.",
    )
    access: Literal["auto", "keys", "open"] = Field(
        "auto",
        description="`keys`: every request needs an API key (`takt keys create`). `open`: none does. `auto`: "
        "open on the loopback address; elsewhere keys, and no start before there is one.",
    )
    cors_origins: str = Field(
        "",
        description="Whose pages may call the gateway from a browser: https://mes.example, separated by "
        "commas; * for all. Empty: nobody's.",
    )
    trusted_proxies: str = Field(
        "",
        description="Proxies whose X-Forwarded-For and X-Forwarded-Proto count: addresses or CIDR, separated "
        "by commas. Empty: none.",
    )
    gateway_name: str = Field(
        default_factory=socket.gethostname, description="This gateway's name in logs and reply streams."
    )
    default_wait_s: float = Field(10.0, gt=0, description="How long /predict waits without `Prefer: wait=N`.")
    max_wait_s: float = Field(60.0, gt=0, description="The longest wait that a client may ask for.")
    max_body_bytes: int = Field(8 * 2**20, gt=0, description="The largest body of a /predict call.")
    max_job_body_bytes: int = Field(64 * 2**20, gt=0, description="The largest JSON body of a job.")
    head_limit_s: float = Field(
        10.0, gt=0, description="How long a client may take to connect and send its request's head."
    )
    max_connections: int | None = Field(
        None,
        gt=0,
        description="Clients connected to one gateway at most. Unset: as many as files may be open.",
    )
    max_inflight_rows: int = Field(
        20_000, gt=0, description="Rows that one gateway has in flight on the online lane at most."
    )
    shutdown_grace_s: float = Field(
        15.0, gt=0, description="How long a program that was told to stop may finish its work."
    )
    drain_delay_s: float = Field(
        0.0,
        ge=0,
        description="How much of that a gateway still takes connections, not ready any more: what a load "
        "balancer needs to see it.",
    )

    scaling_target_s: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="How soon GET /scaling wants what waits to be done, where who asks names no target.",
    )

    # Worker
    device: str = Field(
        "cpu", pattern=r"^(cpu|cuda:\d+)$", description="cpu, or the one GPU of this worker: cuda:N."
    )
    models: str = Field(
        "all",
        description="What a worker loads and a gateway serves, separated by commas: models in their default "
        "version, versions of them (iris@1.0.0), or all models.",
    )
    worker_name: str = Field(
        default_factory=socket.gethostname, description="This worker's name in logs and heartbeats."
    )
    threads: int = Field(1, ge=1, description="CPU threads that one model call may use.")
    framework_mismatch: Literal["warn", "refuse"] = Field(
        "warn", description="What to do with an artifact that another version of its framework built."
    )
    runtime: Literal["auto", "native"] = Field(
        "auto",
        description="native: every model runs as its framework does, whatever its model.toml says. "
        "For comparisons.",
    )
    celery_tools: bool = Field(
        False,
        description="Celery's events and remote control, for `celery inspect` and Flower. Whoever reaches "
        "the queue can then also command workers through it.",
    )
    heartbeat_ttl_s: float = Field(
        3.0, gt=0, description="A worker silent for longer than this counts as dead."
    )
    batch_limit_s: float = Field(
        20.0, gt=0, description="A batch without progress for longer than this ends its worker."
    )
    lease_s: float = Field(
        30.0, gt=0, description="How long a worker owns a chunk without renewing its lease."
    )
    max_attempts: int = Field(
        5, ge=1, description="How often a chunk is tried; from the third time on in quarantine."
    )
    memory_limit_bytes: int | None = Field(
        None,
        ge=0,
        description="What a worker on a CPU may allocate, and its quarantine process. Unset: 80 % of what "
        "the machine or container has; 0: no limit. Linux only.",
    )
    worker_metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="The port at which a worker tells Prometheus what it counts. Unset: it does not; "
        "0: any free one, which `GET /metrics/targets` names.",
    )
    worker_metrics_host: str = Field("127.0.0.1", description="The address of that port.")
    run_dir: Path = Field(
        Path(".takt/run"), description="Where a worker leaves its id for the health command."
    )

    # Jobs
    chunk_bytes: int = Field(
        8 * 2**20, gt=0, description="The largest chunk of a job, in bytes of Arrow data."
    )
    chunk_rows: int = Field(50_000, gt=0, description="The largest chunk of a job, in rows.")
    job_retention_s: float = Field(
        7 * 86_400.0, gt=0, description="How long a finished job and its results are kept."
    )
    max_job_bytes: int = Field(
        10 * 2**30,
        gt=0,
        description="The largest file of a job, unpacked; of its rows too, as they are stored.",
    )
    max_uploads: int = Field(
        8, ge=1, description="Files that one gateway reads at a time; each takes a thread."
    )
    upload_idle_s: float = Field(
        60.0, gt=0, description="A body of which nothing came for so long is broken off."
    )
    spool_dir: Path | None = Field(
        None, description="Where Parquet files lie while they are read. Unset: the system's temporary folder."
    )
    idempotency_keep_s: float = Field(
        86_400.0, gt=0, description="How long an Idempotency-Key stands for its job."
    )

    scrub_bytes_per_s: int = Field(
        2 * 2**20,
        ge=0,
        description="How fast one worker of all reads stored rows and results to check their digests. "
        "0: none does.",
    )
    scrub_every_s: float = Field(
        86_400.0, gt=0, description="How long after one such check of all jobs began the next begins."
    )

    # Webhooks
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="What webhooks are signed with: whsec_ and 24 to 64 bytes in base64. Several, with "
        "blanks between, while a new one replaces an old one. Empty: no webhooks.",
    )
    webhook_allow: str = Field(
        "",
        description="Private networks that webhooks may reach, as CIDR, separated by commas: 10.20.0.0/16.",
    )
    webhook_timeout_s: float = Field(
        10.0, gt=0, description="How long a receiver may take to answer a webhook."
    )
    webhook_retry_s: float = Field(
        86_400.0, ge=0, description="How long after a job's end its webhook is tried again."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _read_sizes(cls, value: object, info: ValidationInfo) -> object:
        is_size = str(info.field_name).endswith("_bytes")
        return size_in_bytes(value) if is_size and isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        check_url(url.get_secret_value())
        if is_sentinel(url.get_secret_value()):
            sentinel_address(url.get_secret_value())
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _check_secrets(cls, secret: SecretStr) -> SecretStr:
        webhook_keys(secret.get_secret_value())
        return secret

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, text: str) -> str:
        for origin in listed(text):
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin: https://host or https://host:port, and no path")
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
        # a hung call keeps the lease from being renewed: its process must end before another takes the chunk
        if self.batch_limit_s + 1 >= self.lease_s:
            raise ValueError("TAKT_LEASE_S must be more than a second longer than TAKT_BATCH_LIMIT_S")
        return self

    @model_validator(mode="after")
    def _delay_within_grace(self) -> Self:
        if self.drain_delay_s and self.drain_delay_s + 2 > self.shutdown_grace_s:
            raise ValueError("TAKT_SHUTDOWN_GRACE_S must be at least 2 s longer than TAKT_DRAIN_DELAY_S")
        return self

    def exposed(self) -> bool:
        """Whether other machines may reach the gateway."""
        host = self.publish.rpartition(":")[0] if self.publish else self.host
        return host.strip("[]") not in _LOOPBACKS

    def origins(self) -> tuple[str, ...]:
        """Whose pages may call from a browser."""
        return listed(self.cors_origins)

    def asks_for_keys(self) -> bool:
        """Whether requests need an API key."""
        return self.access == "keys" or (self.access == "auto" and self.exposed())

    def model_names(self) -> frozenset[str] | None:
        """The names in `models`, or None for all of them."""
        names = frozenset(name.strip() for name in self.models.split(",") if name.strip())
        return None if names == {"all"} else names

    def traces_url(self) -> str:
        """Where spans are posted, as the OTLP specification makes it of the endpoint."""
        return f"{self.otlp_endpoint.rstrip('/')}/v1/traces"

    def writes_through(self) -> bool:
        """Whether payloads are on the disk before they count: a durable job needs its rows, too."""
        return self.fsync_payloads or self.durability is not Promise.MEMORY

    def durable(self) -> Durability:
        """What a job's client is promised with its 202."""
        limit_ms = round(self.durability_limit_s * 1000)
        return Durability(self.durability, limit_ms, vouched=self.appendfsync == "always")

    def webhook_keys(self) -> tuple[bytes, ...]:
        """What webhooks are signed with, newest first; none: there are no webhooks."""
        return webhook_keys(self.webhook_secret.get_secret_value())

    def webhook_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The private networks that webhooks may reach."""
        return networks(self.webhook_allow)

    def redis_dsn(self) -> str:
        """The Redis URL with all that it takes to connect, its password too: for clients, never for logs."""
        return completed(
            self.redis_url.get_secret_value(),
            username=self.redis_username,
            password=self.redis_password.get_secret_value(),
            ca_file=self.redis_ca_file,
        )


@cache
def settings() -> Settings:
    """The settings of this process. Ends it, in words, where one is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        raise SystemExit("\n".join(map(_complaint, error.errors()))) from None


def _complaint(detail: ErrorDetails) -> str:
    reason = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return reason
    name = str(detail["loc"][0])
    return f"{name if name.isupper() else f'TAKT_{name.upper()}'}: {reason}"


def environment(overrides: dict[str, str]) -> dict[str, str]:
    """This process's environment with `TAKT_` settings replaced: what a child program is started with."""
    return os.environ | {f"TAKT_{name.upper()}": value for name, value in overrides.items()}


def environment_names() -> Iterable[str]:
    """The names of all variables of this process's environment."""
    return tuple(os.environ)
