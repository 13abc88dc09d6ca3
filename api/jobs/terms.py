"""Job options, the same for JSON, form and query, and the new job made from them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from api.access.principal import Principal
from api.jobs.json_chunks import Submission
from api.jobs.service import JobService
from api.models.catalog import Servable
from api.telemetry.tracing import current_traceparent
from shared.errors import InvalidInput, Problem
from shared.ledger import NewJob, new_job_id
from shared.tabular.options import ErrorBudget, UploadOptions, error_budget
from shared.webhooks import checked_url

ANY_NUMBER = ErrorBudget()
"""Any number of rows may fail."""


@dataclass(frozen=True)
class JobOptions:
    reference: str = ""
    tags: tuple[str, ...] = ()
    priority: int = 5
    budget: ErrorBudget = ANY_NUMBER
    expires_in_s: float | None = None
    id_column: str = ""
    keep_columns: tuple[str, ...] = ()
    webhook_url: str = ""


def terms_of_submission(submission: Submission) -> JobOptions:
    """Raises InvalidInput."""
    return JobOptions(
        reference=submission.reference,
        tags=tuple(submission.tags),
        priority=submission.priority,
        budget=_budget(submission.max_errors),
        expires_in_s=submission.expires_in_s,
        id_column=submission.id_column,
        keep_columns=tuple(submission.keep_columns),
        webhook_url=submission.webhook_url,
    )


def terms_of_options(options: UploadOptions) -> JobOptions:
    return JobOptions(
        reference=options.reference,
        tags=options.tag,
        priority=options.priority,
        budget=options.max_errors,
        expires_in_s=options.expires_in_s,
        id_column=options.id_column,
        keep_columns=options.keep_columns,
        webhook_url=options.webhook_url,
    )


async def pinned_job(
    jobs: JobService, asker: Principal, servable: Servable, terms: JobOptions, reserved: str = ""
) -> NewJob:
    """A new job, pinned to the current version and artifact. `reserved`: the name of its Idempotency-Key.

    Raises InvalidInput for a forbidden webhook URL, ModelNotFound if the version is not built.
    """
    if terms.webhook_url:
        await asyncio.to_thread(checked_url, terms.webhook_url, jobs.settings)  # it asks DNS
    version = jobs.catalog.repository.version(servable.spec.name, servable.version)
    retention_s = terms.expires_in_s or jobs.settings.job_retention_s
    return NewJob(
        id=new_job_id(),
        model=version.manifest.model,
        version=version.manifest.version,
        digest=version.identity.artifact_sha256,
        spec_digest=version.identity.spec_sha256,
        owner=asker.name,
        reference=terms.reference,
        tags=terms.tags,
        priority=terms.priority,
        retention_ms=round(retention_s * 1000),
        max_errors=terms.budget.count,
        max_error_share=terms.budget.share,
        id_column=terms.id_column,
        keep_columns=terms.keep_columns,
        idempotency=reserved,
        webhook_url=terms.webhook_url,
        traceparent=current_traceparent(),
        built_with=version.manifest.frameworks,
    )


def _budget(said: int | float | str | None) -> ErrorBudget:
    if said is None:
        return ANY_NUMBER
    try:
        return error_budget(said)
    except ValueError as error:
        reason = f"max_errors {error}"
        problem = Problem(row=None, field="max_errors", loc=["max_errors"], msg=reason, type="invalid_body")
        raise InvalidInput(reason, problems=[problem]) from None
