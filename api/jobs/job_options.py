"""Job options, the same for JSON, form and query, and the new job made from them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from api.access.principal import Principal
from api.jobs.job_service import JobService
from api.jobs.json_chunks import Submission
from api.models.catalog import Servable
from api.telemetry.request_tracing import current_traceparent
from shared.errors import InvalidInputError
from shared.input_problems import InputProblem
from shared.ledger import NewJob, new_job_id
from shared.tabular.upload_options import ErrorBudget, UploadOptions, error_budget
from shared.webhooks import checked_url

ANY_NUMBER = ErrorBudget()
"""Any number of rows may fail."""


@dataclass(frozen=True)
class JobOptions:
    """The options of a job, apart from its rows. Limits are checked by `Submission` and `UploadOptions`."""

    reference: str = ""
    tags: tuple[str, ...] = ()
    priority: int = 5
    budget: ErrorBudget = ANY_NUMBER
    expires_in_s: float | None = None
    id_column: str = ""
    keep_columns: tuple[str, ...] = ()
    webhook_url: str = ""


def job_options(asked: Submission | UploadOptions) -> JobOptions:
    """The job options of a JSON body, a form or a query. Raises InvalidInputError for an invalid
    `max_errors`."""
    return JobOptions(
        reference=asked.reference,
        tags=asked.tag if isinstance(asked, UploadOptions) else tuple(asked.tags),
        priority=asked.priority,
        budget=_budget(asked.max_errors),
        expires_in_s=asked.expires_in_s,
        id_column=asked.id_column,
        keep_columns=tuple(asked.keep_columns),
        webhook_url=asked.webhook_url,
    )


async def pinned_job(
    jobs: JobService, caller: Principal, servable: Servable, options: JobOptions, reserved: str = ""
) -> NewJob:
    """A new job, pinned to the current version and artifact. `reserved`: the name of its Idempotency-Key.

    Raises InvalidInputError for a forbidden webhook URL, ModelNotFound if the version is not built.
    """
    if options.webhook_url:
        await asyncio.to_thread(checked_url, options.webhook_url, jobs.settings)  # it asks DNS
    version = jobs.catalog.repository.version(servable.spec.name, servable.version)
    retention_s = options.expires_in_s or jobs.settings.job_retention_s
    return NewJob(
        id=new_job_id(),
        model=version.manifest.model,
        version=version.manifest.version,
        digest=version.identity.artifact_sha256,
        spec_digest=version.identity.spec_sha256,
        owner=caller.name,
        reference=options.reference,
        tags=options.tags,
        priority=options.priority,
        retention_ms=round(retention_s * 1000),
        max_errors=options.budget.count,
        max_error_share=options.budget.share,
        id_column=options.id_column,
        keep_columns=options.keep_columns,
        idempotency=reserved,
        webhook_url=options.webhook_url,
        traceparent=current_traceparent(),
        built_with=version.manifest.frameworks,
    )


def _budget(given: ErrorBudget | int | float | str | None) -> ErrorBudget:
    if given is None:
        return ANY_NUMBER
    try:
        return error_budget(given)
    except ValueError as error:
        reason = f"max_errors {error}"
        problem = InputProblem(
            row=None, field="max_errors", loc=["max_errors"], msg=reason, type="invalid_body"
        )
        raise InvalidInputError(reason, problems=[problem]) from None
