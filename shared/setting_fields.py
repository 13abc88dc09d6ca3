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
        description="URL of Redis ≥ 7.0 or Valkey ≥ 7.2: redis://, rediss:// (TLS), or "
        "redis+sentinel://host:26379,host:26379/SERVICE (rediss+sentinel:// over TLS). May contain a "
        "password; never logged.",
    )
    redis_username: str = Field("", description="Redis user name (ACL), if the URL has none.")
    redis_password: SecretStr = Field(
        SecretStr(""), description="Redis password, if the URL has none. Never logged."
    )
    redis_ca_file: str = Field(
        "",
        description="PEM file with the CA certificates that verify Redis and Sentinel over TLS. Empty: the "
        "system trust store.",
    )
    models_dir: Path = Field(
        Path("models"), description="Folder of the model repository: <name>/model.toml and <name>/<version>/."
    )
    environments_dir: Path = Field(
        Path(".takt/environments"),
        description="Folder of the environments of models, each with an interpreter and its packages.",
    )
    index_url: SecretStr = Field(
        SecretStr(""),
        description="Package index from which environments of models are made, such as "
        "https://mirror.plant/simple; may contain a password. Empty: PyPI, or what uv is configured to use.",
    )
    wheels: Path | None = Field(
        None,
        description="Folder of wheels from which environments of models are made, without any index.",
    )
    payload_url: str = Field(
        "",
        description="Storage of the rows and results of jobs: file:///folder, or the URL of an object "
        "store such as s3://bucket/prefix?endpoint=…&region=…. Empty: .takt/payloads in this folder.",
    )
    max_stored_bytes: int | None = Field(
        None,
        gt=0,
        description="Limit of the payload folder; above it, jobs are rejected. Unset: the size of the disk.",
    )
    payload_compression: Literal["auto", "lz4", "none"] = Field(
        "auto",
        description="Compression of stored rows and results. `auto`: LZ4 in an object store; none in a "
        "folder, which is faster than LZ4. Without it, numbers take twice the space, texts more.",
    )
    fsync_payloads: bool = Field(
        True,
        description="Whether rows and results in a folder are synced to disk before the queue refers to "
        "them. `false`: a power cut may empty objects that were written in the last half minute or longer.",
    )
    durability: Promise = Field(
        Promise.MEMORY,
        description="Durability of a job before its 202: in the queue's `memory`, on its `disk`, or on a "
        "`replica`. `disk` and `replica` also sync payloads to disk.",
    )
    durability_limit_s: float = Field(
        2.0,
        gt=0,
        le=2.5,
        description="Longest wait of a submission for that durability; after it, the answer is 503.",
    )
    appendfsync: Literal["ask", "always"] = Field(
        "ask",
        description="Whether the queue has `appendfsync always`, which TAKT_DURABILITY=disk requires. "
        "`ask`: read it from the server. `always`: assume it, for servers that reject `CONFIG GET`.",
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
        description="OTLP/HTTP collector of traces, such as http://collector:4318. Empty: no traces. If "
        "OTEL_EXPORTER_OTLP_ENDPOINT is set too, it takes precedence.",
    )

    # Gateway
    host: str = Field("127.0.0.1", description="Listen address of the gateway.")
    port: int = Field(8000, ge=0, le=65535, description="Listen port of the gateway.")
    gateways: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Gateway processes on the port; each uses up to one core. Linux only. Unset: 1; with "
        "`takt up` a quarter of the cores.",
    )
    publish: str = Field(
        "",
        description="Published address of a container's port, as ADDRESS:PORT. It replaces TAKT_HOST in "
        "the decision whether other machines can reach the gateway.",
    )
    access: Literal["auto", "keys", "open"] = Field(
        "auto",
        description="`keys`: every request needs an API key (`takt keys create`). `open`: no request needs "
        "a key. `auto`: open on the loopback address; on other addresses keys, and the gateway does not "
        "start before a key exists.",
    )
    cors_origins: str = Field(
        "",
        description="Browser origins that may call the gateway, separated by commas, such as "
        "https://mes.example; * for all. Empty: none.",
    )
    trusted_proxies: str = Field(
        "",
        description="Proxies with trusted X-Forwarded-For and X-Forwarded-Proto headers: addresses or CIDR "
        "networks, separated by commas. Empty: none.",
    )
    gateway_name: str = Field(
        default_factory=socket.gethostname, description="Name of this gateway in logs and reply streams."
    )
    default_wait_s: float = Field(
        10.0, gt=0, description="Longest wait of /predict without `Prefer: wait=N`."
    )
    max_wait_s: float = Field(60.0, gt=0, description="Longest wait that a client may request.")
    max_body_bytes: int = Field(8 * 2**20, gt=0, description="Largest body of a /predict request.")
    max_job_body_bytes: int = Field(64 * 2**20, gt=0, description="Largest JSON body of a job.")
    head_limit_s: float = Field(
        10.0, gt=0, description="Time limit for a client to connect and send the head of its request."
    )
    max_connections: int | None = Field(
        None,
        gt=0,
        description="Limit of client connections per gateway. Unset: by the open-files limit.",
    )
    grpc_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of the inference protocol over gRPC, on the address TAKT_HOST. Needs "
        "`takt-server[grpc]`. Unset: none; 0: any free port, which the log names.",
    )
    grpc_cert_file: str = Field(
        "", description="PEM file with the certificate chain of gRPC. Empty: gRPC without TLS."
    )
    grpc_key_file: str = Field("", description="PEM file with the private key of that certificate.")
    grpc_client_ca_file: str = Field(
        "",
        description="PEM file with the CA certificates that verify clients' certificates, which are then "
        "required. Empty: none are.",
    )
    max_inflight_rows: int = Field(
        20_000, gt=0, description="Limit of rows in flight on the online lane, per gateway."
    )
    shutdown_grace_s: float = Field(15.0, gt=0, description="Time for a stopping program to finish its work.")
    drain_delay_s: float = Field(
        0.0,
        ge=0,
        description="Part of that time in which a stopping gateway still accepts connections but reports "
        "not ready, so that a load balancer notices it.",
    )

    scaling_target_s: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="Time within which waiting work should be done, for GET /scaling without a target.",
    )

    # Worker
    device: str = Field(
        "cpu", pattern=r"^(cpu|cuda:\d+)$", description="cpu, or the one GPU of these workers: cuda:N."
    )
    models: str = Field(
        "all",
        description="Models that a worker loads and a gateway serves, separated by commas: a model in its "
        "default version, a version (iris@1.0.0), or all.",
    )
    worker_name: str = Field(
        default_factory=socket.gethostname,
        description="Name of a supervisor; its workers are NAME/0, NAME/1, … in logs and heartbeats.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        description="Workers of a supervisor, which share one copy of the models. Unset: the cores of the "
        "machine or container minus 1, on a GPU 1.",
    )
    fork: Literal["auto", "never"] = Field(
        "auto",
        description="`never`: each worker is a program that loads the models for itself, instead of a fork "
        "that shares them. `auto`: fork on Linux.",
    )
    verify_limit_s: float = Field(
        600.0,
        gt=0,
        description="Time limit for a process that opens and verifies a model version; after it, the version "
        "counts as failed.",
    )
    threads: int = Field(1, ge=1, description="CPU threads of a model call.")
    framework_mismatch: Literal["warn", "refuse"] = Field(
        "warn", description="Reaction to an artifact that another version of its framework built."
    )
    runtime: Literal["auto", "native"] = Field(
        "auto",
        description="native: run every model in its own framework, whatever its model.toml declares. For "
        "comparisons.",
    )
    celery_tools: bool = Field(
        False,
        description="Enable Celery's events and remote control, for `celery inspect` and Flower. Every "
        "client that can reach the queue can then also send commands to workers.",
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
        description="Memory limit of each CPU worker, and of its sandbox process. Unset: 80 % of the memory "
        "of the machine or container; 0: no limit. Linux only.",
    )
    worker_metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of the first worker's Prometheus metrics; the worker with number n has this port "
        "+ n. Unset: none; 0: any free port. `GET /metrics/targets` lists all.",
    )
    worker_metrics_host: str = Field("127.0.0.1", description="Listen address of that port.")
    run_dir: Path = Field(
        Path(".takt/run"),
        description="Folder of the files of a supervisor and its workers, which the health command reads.",
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
        description="Largest file of a job, uncompressed; also the limit of its stored rows.",
    )
    max_uploads: int = Field(
        8, ge=1, description="Files that one gateway reads at the same time; each uses a thread."
    )
    upload_idle_s: float = Field(
        60.0, gt=0, description="Time without data after which a request body is aborted."
    )
    spool_dir: Path | None = Field(
        None, description="Folder of Parquet files while they are read. Unset: the system's temporary folder."
    )
    idempotency_keep_s: float = Field(
        86_400.0, gt=0, description="Time for which an Idempotency-Key refers to its job."
    )

    scrub_bytes_per_s: int = Field(
        2 * 2**20,
        ge=0,
        description="Rate at which one worker of all reads stored rows and results to check their digests. "
        "0: no checks.",
    )
    scrub_every_s: float = Field(
        86_400.0,
        gt=0,
        description="Time from the start of one such check of all jobs to the start of the next.",
    )

    # Webhooks
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Signing secret of webhooks: whsec_ and 24 to 64 bytes in base64. Several secrets, "
        "separated by spaces, during a rotation. Empty: no webhooks.",
    )
    webhook_allow: str = Field(
        "",
        description="Private networks that webhooks may reach, as CIDR, separated by commas, such as "
        "10.20.0.0/16.",
    )
    webhook_timeout_s: float = Field(10.0, gt=0, description="Time limit for a receiver to answer a webhook.")
    webhook_retry_s: float = Field(
        86_400.0, ge=0, description="Time after a job's end during which its webhook is retried."
    )
