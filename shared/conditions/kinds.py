"""The list of all conditions: code, severity, message, remedy, and the alerts that report the same.

`{subject}` and the other names in a message are filled in with the parameters of a `Condition`. Messages in
Korean are in `console/conditions.js`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Severity(StrEnum):
    WARNING = "warning"  # for today; alerts: `ticket`
    TROUBLE = "trouble"  # work stops or is lost; alerts: `page`


@dataclass(frozen=True)
class ConditionKind:
    """A kind of condition. `alerts`: its rules in deploy/prometheus/takt.rules.yml."""

    code: str
    severity: Severity
    message: str
    remedy: str
    alerts: tuple[str, ...] = ()
    hold_s: float = 0.0
    """How long it must be observed before it is reported."""


def _trouble(code: str, message: str, remedy: str, *alerts: str, hold_s: float = 0.0) -> ConditionKind:
    return ConditionKind(code, Severity.TROUBLE, message, remedy, alerts, hold_s)


def _warning(code: str, message: str, remedy: str, *alerts: str, hold_s: float = 0.0) -> ConditionKind:
    return ConditionKind(code, Severity.WARNING, message, remedy, alerts, hold_s)


KINDS = (
    # -- Redis
    _trouble(
        "redis_down",
        "Redis does not answer: {reason}. No work is accepted or run.",
        "Start Redis, or check its host, its password and the network. Accepted work is kept.",
        "TaktRedisDown",
        "TaktGatewayNotReady",
    ),
    _trouble(
        "redis_refuses_writes",
        "Redis refuses writes: {reason}. No work is accepted.",
        "Free memory or disk space of Redis, raise maxmemory, or connect to the primary.",
        "TaktGatewayNotReady",
    ),
    _trouble(
        "redis_memory_nearly_full",
        "Redis uses {percent} % of its maxmemory. When it is full, no work is accepted.",
        "Raise maxmemory, wait for jobs to end, or delete jobs (takt delete ID).",
        "TaktRedisMemoryNearlyFull",
    ),
    _trouble(
        "redis_log_fails",
        "Redis cannot write its append-only file.",
        "Free space on the disk of Redis; until then no work is accepted.",
        "TaktRedisLogFails",
    ),
    _warning(
        "redis_not_persistent",
        "Redis may lose accepted work: {reason}.",
        "Set appendonly yes and maxmemory-policy noeviction.",
        "TaktRedisNotPersistent",
    ),
    _warning(
        "redis_slow",
        "A small command to Redis takes {milliseconds} ms.",
        "Check other users of this Redis, its disk (appendfsync) and the network.",
        "TaktRedisSlow",
        hold_s=10.0,
    ),
    # -- gateways
    _trouble(
        "gateway_silent",
        "Gateway {subject} does not answer.",
        "Read its log, and restart it if it hangs.",
        "TaktGatewayDown",
        "TaktGatewayProcessMissing",
    ),
    _warning(
        "gateway_stopping",
        "Gateway {subject} is stopping.",
        "No action is needed if you stopped it. Else read its log.",
    ),
    # -- storage
    _trouble(
        "storage_full",
        "The space for rows and results of jobs is used up ({free} of {limit} left). Jobs are rejected.",
        "Delete ended jobs, shorten TAKT_JOB_RETENTION_S, or add space (TAKT_MAX_STORED_BYTES, the disk).",
        "TaktPayloadsFull",
    ),
    _warning(
        "storage_nearly_full",
        "{free} of {limit} are left for rows and results of jobs.",
        "Delete ended jobs, shorten TAKT_JOB_RETENTION_S, or add space (TAKT_MAX_STORED_BYTES, the disk).",
        "TaktPayloadsNearlyFull",
    ),
    _trouble(
        "storage_away",
        "The store for rows and results of jobs does not answer: {reason}",
        "Check its disk, rights or network.",
        "TaktPayloadsAway",
    ),
    _trouble(
        "objects_damaged",
        "The scrubber found {count} changed or missing objects in the last day, the latest of job {job}.",
        "Check the disk of the payload store; the worker's log names the objects (object_not_intact).",
        "TaktPayloadsNotIntact",
    ),
    # -- workers
    _trouble(
        "no_worker",
        "No worker is connected. Nothing is predicted.{last}",
        "Start workers: python -m worker run, or takt up. Logs of ended workers have the reason.",
        "TaktNoWorker",
        "TaktGatewayNotReady",
    ),
    _trouble(
        "workers_drained",
        "All {count} workers are drained or stopping. Nothing is predicted.",
        "Run takt workers undrain --all, or start workers.",
        "TaktNoWorker",
    ),
    _warning(
        "workers_starting",
        "Workers are loading their models; none serves yet.",
        "Wait. If it takes long, read the worker's log.",
        "TaktNoWorker",
    ),
    _warning(
        "worker_silent",
        "{count} workers of {subject} have sent no heartbeat for {seconds} s.",
        "Check the worker's machine and log. Other workers take over its work.",
        "TaktHeartbeatsMissing",
        "TaktHeartbeatsFail",
    ),
    _warning(
        "worker_restarted",
        "{process} of {subject} was restarted: it {reason}.",
        "Read its log if this repeats.",
    ),
    _trouble(
        "worker_crash_loop",
        "Workers of {subject} were restarted {count} times in five minutes; the last {reason}.",
        "Read the worker's log: see 'A worker restarts repeatedly' in docs/troubleshooting.md.",
        "TaktWorkerCrashLoop",
    ),
    _warning(
        "supervisor_impaired",
        "Supervisor {subject} cannot restart its workers: {reason}.",
        "Resume or restart it: kill -CONT PID, or the service manager. Its workers serve meanwhile.",
        "TaktSupervisorImpaired",
    ),
    _warning(
        "worker_stuck",
        "Worker {subject} has made no progress with {work} for {seconds} s.",
        "Wait for TAKT_BATCH_LIMIT_S, which ends the worker. Give a slow model smaller batches.",
        "TaktWorkerStuck",
    ),
    _warning(
        "clock_off",
        "The clock of {subject} differs from that of Redis by {seconds} s.",
        "Synchronize it by NTP. Takt uses the clock of Redis; times in logs do not match.",
        "TaktClockOff",
    ),
    # -- models
    _trouble(
        "default_model_not_served",
        "No worker holds {subject}, the default model. Its requests are rejected.",
        "Start a worker that holds it, or set TAKT_DEFAULT_MODEL.",
        "TaktGatewayNotReady",
    ),
    _trouble(
        "model_without_worker",
        "No worker holds {subject}, and {rows} rows wait for it.",
        "To load it without requests, run takt deploy NAME VERSION --canary 0. If TAKT_MODELS of the workers "
        "names versions, add the version there. If workers could not load it, run takt models verify NAME.",
        "TaktModelWithoutWorker",
    ),
    _warning(
        "model_not_loaded",
        "No worker holds {subject}. Its requests are rejected.",
        "Start a worker that holds it (TAKT_MODELS), or remove the model.",
    ),
    _warning(
        "model_failed",
        "{count} workers could not load {subject}: {reason}",
        "Run takt models verify NAME on the worker's machine; see docs/troubleshooting.md.",
        "TaktModelNotLoadable",
    ),
    _warning(
        "model_spec_wrong",
        "The model.toml of {subject} is invalid: {reason}",
        "Correct the file; takt models list shows the reason.",
    ),
    _warning(
        "rollout_rolled_back",
        "The rollout of {subject} was rolled back: {reason}",
        "Correct the new version, then start a rollout or deploy again.",
        "TaktRolloutRolledBack",
    ),
    # -- work
    _trouble(
        "online_queue_old",
        "A request for {subject} has waited {seconds} s.",
        "Start workers; GET /scaling/{{model}} shows how many. takt workers list shows current work.",
        "TaktOnlineQueueOld",
    ),
    _trouble(
        "jobs_stand_still",
        "{count} chunks of {subject} wait, and none runs.",
        "takt status JOB shows the reason.",
        "TaktJobsStandStill",
        hold_s=15.0,
    ),
    _warning(
        "jobs_old",
        "A job of {subject} has waited {hours} h.",
        "Start workers to finish it sooner; a large job may need this time.",
        "TaktJobsOld",
    ),
    _trouble(
        "requests_rejected",
        "{percent} % of the requests for {subject} in the last five minutes were rejected as overloaded.",
        "Start workers; GET /scaling/{{model}} shows how many. Or limit the key that sends most.",
        "TaktShedding",
    ),
    _trouble(
        "predictions_fail",
        "{percent} % of the requests for {subject} in the last five minutes failed.",
        "The logs of gateway and workers have the errors with their request ids.",
        "TaktPredictionsFail",
    ),
    _warning(
        "jobs_fail",
        "Failed jobs of {subject} in the last two hours: {count}.",
        "Run takt jobs --state failed, then takt status JOB.",
        "TaktJobsFail",
    ),
    _warning(
        "chunks_retried",
        "{percent} % of the chunks of {subject} in the last 15 minutes were tried again.",
        "Read the workers' logs: workers end during chunks, cannot read rows, or lose Redis.",
        "TaktChunksRetried",
    ),
    _warning(
        "rows_quarantined",
        "Rows of {subject} crash workers: {count} chunks ran in the sandbox in the last 15 minutes.",
        "takt errors ID names the rows; other work continues.",
        "TaktChunksQuarantined",
    ),
    _warning(
        "dead_letters",
        "{count} messages or records could not be read and were set aside.",
        "Run takt dead-letters list, then requeue or drop.",
        "TaktDeadLetters",
    ),
    _warning(
        "webhooks_fail",
        "{count} webhooks of ended jobs could not be delivered yet.",
        "Check the receiver; webhook in GET /jobs/{{id}} has the attempts.",
        "TaktWebhooksFail",
        "TaktWebhooksWait",
    ),
)

BY_CODE: Mapping[str, ConditionKind] = MappingProxyType({kind.code: kind for kind in KINDS})
