"""`GET /jobs/{id}/difference`: how the results of two jobs with the same rows differ."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from api.access.principal import Caller
from api.gateway import GatewayState
from api.http.error_answers import of_errors
from api.http.parameter_errors import require_known_parameters
from api.jobs.job_difference import JobDifference, JobSide, side_of
from api.jobs.job_views import as_json
from api.jobs.lost_results import recomputing
from api.routes.jobs.results import Accept, FormatName, answered, contents
from shared.tabular.content_negotiation import negotiated
from shared.tabular.differences import QUANTILES, Difference, OutputDifference
from shared.tabular.file_formats import RESULT_FORMATS, FileFormat
from shared.tabular.writers import tabular, written

router = APIRouter()


class ComparedJob(BaseModel):
    job_id: str
    model: str
    version: str


class ClassChange(BaseModel):
    a: Any = Field(description="The class in the first job; null: none")
    b: Any
    rows: int


class DifferenceQuantiles(BaseModel):
    """Of the absolute differences, over the rows that both jobs answered; each within 1 %, `max` exact."""

    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    max: float


class OutputReport(BaseModel):
    output: str
    changed: int = Field(description="Rows with another value, however small the difference")
    incomparable: int = Field(description="Rows with a number on one side only, or with other shapes")
    quantiles: DifferenceQuantiles | None = Field(description="Of numbers and tensors; null for classes")
    changes: list[ClassChange] = Field(description="Class pairs that differ, the most frequent first")
    other_changes: int = Field(description="Rows with rarer class pairs than those listed")


class DifferenceReport(BaseModel):
    """A row counts once: as equal, within the tolerance, different, or failed. It is different if any of its
    outputs is."""

    a: ComparedJob
    b: ComparedJob
    same_rows: bool | None = Field(
        description="Whether both jobs have the same rows; null: unknown, since they were uploaded apart"
    )
    tolerance: float
    rows: int
    equal: int
    within_tolerance: int
    different: int
    failed_a: int = Field(description="Rows that failed in the first job only")
    failed_b: int
    failed_both: int
    disagreement: float = Field(description="Share of rows that differ, or failed in one job only")
    outputs: list[OutputReport]
    only_in_a: list[str] = Field(description="Outputs that the second job lacks")
    only_in_b: list[str]


@router.get(
    "/jobs/{job_id}/difference",
    response_model=DifferenceReport,
    responses=contents(*RESULT_FORMATS) | of_errors(404, 406, 409, 410, 422, 503),
    dependencies=[Depends(require_known_parameters)],
)
async def difference(
    job_id: str,
    gateway: GatewayState,
    caller: Caller,
    *,
    against: Annotated[str, Query(description="The other job")],
    tolerance: Annotated[
        float, Query(ge=0, allow_inf_nan=False, description="Difference of numbers that counts as agreement")
    ] = 0.0,
    name: FormatName = None,
    accept: Accept = None,
) -> Response:
    """How the results of two jobs with the same rows differ, for example of a job and its replay.

    JSON is a report. Every other format holds the differing rows: `row`, the inputs, and the outputs and
    `error` of both jobs with the endings `_a` and `_b`.
    """
    kind = negotiated(name, accept)
    a, b = await side_of(gateway.jobs, caller, job_id), await side_of(gateway.jobs, caller, against)
    compared = JobDifference(a, b, tolerance)
    if kind is FileFormat.JSON:
        await recomputing(gateway.jobs.ledger, asyncio.to_thread(compared.compare))
        return as_json(report_of(compared, a, b))

    def parts() -> Iterator[bytes]:
        return written(compared, tabular(kind, compared.schema))

    return await answered(gateway, parts, kind, f"{job_id[:8]}-{against[:8]}", whole=False)


def report_of(compared: JobDifference, a: JobSide, b: JobSide) -> DifferenceReport:
    counts: Difference = compared.counts
    return DifferenceReport(
        a=_job(a),
        b=_job(b),
        same_rows=compared.same_rows,
        tolerance=counts.tolerance,
        rows=counts.rows,
        equal=counts.equal,
        within_tolerance=counts.within_tolerance,
        different=counts.different,
        failed_a=counts.failed_a,
        failed_b=counts.failed_b,
        failed_both=counts.failed_both,
        disagreement=counts.disagreement,
        outputs=[_output(one) for one in counts.outputs.values()],
        only_in_a=list(counts.only_in_a),
        only_in_b=list(counts.only_in_b),
    )


def _job(side: JobSide) -> ComparedJob:
    return ComparedJob(job_id=side.record.id, model=side.record.model, version=side.record.version)


def _output(one: OutputDifference) -> OutputReport:
    found = [one.sketch.quantile(share) for share in QUANTILES]
    names = ("p50", "p90", "p99", "p999")
    quantiles = DifferenceQuantiles(**dict(zip(names, found, strict=True)), max=one.sketch.most)
    return OutputReport(
        output=one.name,
        changed=one.changed,
        incomparable=one.incomparable,
        quantiles=None if one.label else quantiles,
        changes=[ClassChange(a=a, b=b, rows=rows) for (a, b), rows in one.changes.most_common()],
        other_changes=one.other_changes,
    )
