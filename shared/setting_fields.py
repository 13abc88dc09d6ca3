"""The settings, with their defaults and descriptions; `shared/settings.py` checks and reads them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.durability import Promise


class SettingFields(BaseSettings):
    """The settings of every part of Takt, unchecked."""

    # an error names the setting and the reason, not the value: it may be a secret
    model_config = SettingsConfigDict(
        env_prefix="TAKT_",
        env_file=None,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    # Gateway and worker
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis ≥ 7.0 or Valkey ≥ 7.2: redis://, rediss:// (TLS), "
        "redis+sentinel://host:26379,host:26379/SERVICE (rediss+sentinel:// over TLS). A "
        "password in it is never logged.",
    )
    redis_username: str = Field("", description="Redis user name (ACL), if the URL has none.")
    redis_password: SecretStr = Field(SecretStr(""), description="Redis password, if the URL has none.")
    redis_ca_file: str = Field(
        "",
        description="PEM file with the CA certificates that verify Redis and Sentinel. Empty: the "
        "system trust store.",
    )
    models_dir: Path = Field(Path("models"), description="Folder of the model repository.")
    models_url: str = Field(
        "",
        description="The model store: a folder, or the URL of an object store such as "
        "s3://bucket/prefix?endpoint=…&region=…. Empty: TAKT_MODELS_DIR.",
    )
    models_cache_dir: Path = Field(
        Path(".takt/model-cache"), description="Folder of the copies of models in an object store."
    )
    models_cache_bytes: int = Field(
        20 * 2**30,
        gt=0,
        description="Size of the files in that folder above which unused versions are removed.",
    )
    environments_dir: Path = Field(
        Path(".takt/environments"),
        description="Folder of the environments of models.",
    )
    index_url: SecretStr = Field(
        SecretStr(""),
        description="Package index of environments of models, such as https://mirror.plant/simple. "
        "Empty: PyPI, or uv's configuration.",
    )
    wheels: Path | None = Field(
        None,
        description="Folder of wheels for environments of models, instead of an index.",
    )
    payload_url: str = Field(
        "",
        description="Store of the rows and results of jobs: file:///folder, or an object store such "
        "as s3://bucket/prefix?endpoint=…&region=…. Empty: .takt/payloads.",
    )
    max_stored_bytes: int | None = Field(
        None,
        gt=0,
        description="Limit of the payload folder; above it, jobs are rejected. Unset: the disk.",
    )
    payload_compression: Literal["auto", "lz4", "none"] = Field(
        "auto",
        description="Compression of stored rows and results. `auto`: LZ4 in an object store, none in "
        "a folder.",
    )
    fsync_payloads: bool = Field(
        True,
        description="Sync rows and results in a folder to disk before the queue refers to them. "
        "`false`: a power cut may empty objects of the last half minute or longer.",
    )
    durability: Promise = Field(
        Promise.MEMORY,
        description="A job's 202 waits until it is in the queue's `memory`, on its `disk`, or on a "
        "`replica`. The latter two also sync payloads.",
    )
    durability_limit_s: float = Field(
        2.0,
        gt=0,
        le=2.5,
        description="Longest wait of a submission for that durability; then 503.",
    )
    appendfsync: Literal["ask", "always"] = Field(
        "ask",
        description="`ask` the server for `appendfsync always`, which TAKT_DURABILITY=disk requires, "
        "or assume it (`always`), if the server rejects `CONFIG GET`.",
    )
    default_model: str = Field("iris", description="Model of /predict, /predict/batch and /model-info.")
    log_format: Literal["console", "json"] = Field("console", description="Format of log events.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    access_log: bool = Field(False, description="Log each answered request, without its query string.")
    otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT", "TAKT_OTLP_ENDPOINT"),
        description="OTLP/HTTP collector of traces, such as http://collector:4318. Empty: no traces. "
        "OTEL_EXPORTER_OTLP_ENDPOINT takes precedence.",
    )

    # Gateway
    host: str = Field("127.0.0.1", description="Listen address of the gateway.")
    port: int = Field(8000, ge=0, le=65535, description="Listen port of the gateway.")
    gateways: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Gateway processes on the port, each of up to one core. Linux only. Unset: 1; "
        "with `takt up` a quarter of the cores.",
    )
    publish: str = Field(
        "",
        description="Published ADDRESS:PORT of a container. It replaces TAKT_HOST in the decision "
        "whether other machines can reach the gateway.",
    )
    access: Literal["auto", "keys", "open"] = Field(
        "auto",
        description="`keys`: every request needs an API key. `open`: none does. `auto`: open on the "
        "loopback address; else keys, and the gateway does not start before one exists.",
    )
    cors_origins: str = Field(
        "",
        description="Browser origins that may call the gateway, comma-separated, such as "
        "https://mes.example; * for all.",
    )
    trusted_proxies: str = Field(
        "",
        description="Proxies with trusted X-Forwarded-For and X-Forwarded-Proto headers: addresses or "
        "CIDR networks, comma-separated.",
    )
    allowed_hosts: str = Field(
        "",
        description="Host names that the gateway answers, comma-separated; * for all. Empty: all; for "
        "an open gateway on a loopback address localhost and addresses only.",
    )
    public_url: str = Field(
        "",
        description="URL at which browsers reach the gateway, such as https://takt.plant. Sign-in needs it. "
        "With https, session cookies are sent over TLS only.",
    )
    oidc_issuer: str = Field("", description="Issuer URL of the OpenID Connect provider of people.")
    oidc_client_id: str = Field("", description="Client id at the provider.")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="Client secret at the provider.")
    oidc_scopes: str = Field("openid profile email", description="Scopes of sign-in.")
    oidc_name_claim: str = Field("preferred_username", description="Claim with the name of the person.")
    oidc_groups_claim: str = Field("groups", description="Claim with the person's groups.")
    proxy_user_header: str = Field(
        "",
        description="Header with the name of a person that a trusted proxy has authenticated, such as "
        "X-Forwarded-User.",
    )
    proxy_groups_header: str = Field(
        "X-Forwarded-Groups", description="Header with the groups, comma-separated."
    )
    sign_in_roles: str = Field(
        "",
        description="Roles of people by group, such as operators=read+submit,admins=admin; the group "
        "* contains everyone.",
    )
    session_s: float = Field(12 * 3600.0, gt=0, description="Duration of a session after sign-in.")
    gateway_name: str = Field(
        default_factory=socket.gethostname, description="Name of this gateway in logs and reply streams."
    )
    default_wait_s: float = Field(
        10.0, gt=0, description="Longest wait of a prediction without `Prefer: wait=N`."
    )
    max_wait_s: float = Field(60.0, gt=0, description="Longest wait that a client may request.")
    max_body_bytes: int = Field(8 * 2**20, gt=0, description="Largest body of a /predict request.")
    max_job_body_bytes: int = Field(64 * 2**20, gt=0, description="Largest JSON body of a job.")
    max_version_bytes: int = Field(
        5 * 2**30, gt=0, description="Largest model version that can be published, unpacked."
    )
    head_limit_s: float = Field(10.0, gt=0, description="Time limit for the head of a request.")
    max_connections: int | None = Field(
        None,
        gt=0,
        description="Client connections per gateway. Unset: by the open-files limit.",
    )
    grpc_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="gRPC port of the inference protocol, on TAKT_HOST. Needs `takt-server[grpc]`. "
        "Unset: none; 0: any free port.",
    )
    grpc_cert_file: str = Field("", description="PEM file with the certificate chain of gRPC. Empty: no TLS.")
    grpc_key_file: str = Field("", description="PEM file with its private key.")
    grpc_client_ca_file: str = Field(
        "",
        description="PEM file with the CA of clients' certificates, which are then required.",
    )
    max_inflight_rows: int = Field(20_000, gt=0, description="Online rows in flight per gateway.")
    shutdown_grace_s: float = Field(15.0, gt=0, description="Time for a stopping program to finish its work.")
    drain_delay_s: float = Field(
        0.0,
        ge=0,
        description="Part of that time in which a stopping gateway still accepts connections but "
        "reports not ready.",
    )

    scaling_target_s: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="Time in which waiting work should be done, for GET /scaling.",
    )

    # Worker
    device: str = Field(
        "cpu", pattern=r"^(cpu|cuda:\d+)$", description="cpu, or the one GPU of these workers: cuda:N."
    )
    models: str = Field(
        "all",
        description="Models that a worker loads and a gateway serves, comma-separated: a model, a "
        "version (iris@1.0.0), or all.",
    )
    worker_name: str = Field(
        default_factory=socket.gethostname,
        description="Name of a supervisor; its workers are NAME/0, NAME/1, …",
    )
    workers: int | None = Field(
        None,
        ge=1,
        description="Workers of a supervisor. Unset: the cores of the machine or container minus 1, "
        "on a GPU 1.",
    )
    fork: Literal["auto", "never"] = Field(
        "auto",
        description="`auto`: workers are forks that share the models (Linux). `never`: each loads "
        "them for itself.",
    )
    verify_limit_s: float = Field(
        600.0,
        gt=0,
        description="Time limit to open and verify a model version; then it has failed.",
    )
    models_memory_bytes: int | None = Field(
        None,
        ge=0,
        description="Memory budget of the model versions that a supervisor holds, such as 4GiB; a version "
        "that does not fit is refused. Unset: 80 % of the memory of the machine or container, on demand "
        "40 %; 0: no limit.",
    )
    models_on_demand: bool = Field(
        False,
        description="Load each model version at its first request or job, and drop those used least recently "
        "if the memory budget is needed. CPU workers on Linux only.",
    )
    threads: int = Field(1, ge=1, description="CPU threads of a model call.")
    framework_mismatch: Literal["warn", "refuse"] = Field(
        "warn", description="Reaction to an artifact of another version of its framework."
    )
    runtime: Literal["auto", "native"] = Field(
        "auto",
        description="native: run every model in its own framework, for comparisons.",
    )
    celery_tools: bool = Field(
        False,
        description="Celery's events and remote control, for `celery inspect` and Flower. Every "
        "client of the queue can then command workers.",
    )
    heartbeat_ttl_s: float = Field(
        3.0, gt=0, description="Time without a heartbeat after which a worker counts as dead."
    )
    batch_limit_s: float = Field(
        20.0, gt=0, description="Time without progress after which a batch ends its worker."
    )
    lease_s: float = Field(
        30.0, gt=0, description="Time for which a worker owns a chunk without renewing its lease."
    )
    max_attempts: int = Field(
        5, ge=1, description="Attempts per chunk; from the third on, a chunk runs in the sandbox."
    )
    memory_limit_bytes: int | None = Field(
        None,
        ge=0,
        description="Memory limit of each CPU worker, and of its sandbox. Unset: 80 % of the machine "
        "or container; 0: none. Linux only.",
    )
    worker_metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of the first worker's metrics; worker n has this port + n. Unset: none; 0: "
        "any free port.",
    )
    worker_metrics_host: str = Field("127.0.0.1", description="Listen address of that port.")
    run_dir: Path = Field(
        Path(".takt/run"),
        description="Folder of a supervisor's files, which the health command reads.",
    )

    # Jobs
    chunk_bytes: int = Field(8 * 2**20, gt=0, description="Largest chunk of a job, in bytes of Arrow data.")
    chunk_rows: int = Field(50_000, gt=0, description="Largest chunk of a job, in rows.")
    job_retention_s: float = Field(
        7 * 86_400.0, gt=0, description="Retention of a finished job and its results."
    )
    max_job_bytes: int = Field(
        10 * 2**30,
        gt=0,
        description="Largest file of a job, uncompressed, and limit of its stored rows.",
    )
    max_uploads: int = Field(
        8, ge=1, description="Files that one gateway reads at the same time, each in a thread."
    )
    upload_idle_s: float = Field(
        60.0, gt=0, description="Time without data after which a request body is aborted."
    )
    spool_dir: Path | None = Field(
        None, description="Folder of Parquet files while they are read. Unset: the system's."
    )
    idempotency_keep_s: float = Field(
        86_400.0, gt=0, description="Time for which an Idempotency-Key refers to its job."
    )

    scrub_bytes_per_s: int = Field(
        2 * 2**20,
        ge=0,
        description="Rate at which one of the workers checks the digests of stored rows and results. "
        "0: no checks.",
    )
    scrub_every_s: float = Field(
        86_400.0,
        gt=0,
        description="Time from the start of one check of all jobs to the next.",
    )

    # Webhooks
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Signing secret of webhooks: whsec_ and 24 to 64 bytes in base64; several, "
        "separated by spaces, during a rotation. Empty: no webhooks.",
    )
    mlflow_webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret of the webhooks of an MLflow model registry that POST to /webhooks/mlflow. "
        "Empty: such requests need an API key.",
    )
    notify_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="URL to which a gateway POSTs each condition when it begins and ends, signed with "
        "TAKT_WEBHOOK_SECRET.",
    )
    webhook_allow: str = Field(
        "",
        description="Private networks that webhooks may reach, as CIDR, comma-separated, such as "
        "10.20.0.0/16.",
    )
    webhook_timeout_s: float = Field(10.0, gt=0, description="Time limit for a receiver to answer a webhook.")
    webhook_retry_s: float = Field(
        86_400.0, ge=0, description="Time after a job's end during which its webhook is retried."
    )
