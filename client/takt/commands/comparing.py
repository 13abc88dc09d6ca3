"""`takt replay`, `takt retry` and `takt difference`: rows of a job again, and how results differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from takt.commands.output_files import Output, check_output
from takt.commands.submit import wait_for
from takt.commands.terminal import (
    DEFAULT_URL,
    AsJson,
    JobId,
    Url,
    as_json,
    megabytes,
    print_note,
    reports_errors,
    show_job,
    summary_of,
)

if TYPE_CHECKING:
    from takt.records import Json

_MOST_CHANGES = 10
"""Class changes that are printed for an output."""


@reports_errors
def replay(
    job_id: JobId,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version to run.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the new job.")] = False,
    url: Url = DEFAULT_URL,
    as_document: AsJson = False,
) -> None:
    """Run the stored rows of a job on another version, and print the new job."""
    from takt.client import Takt
    from takt.commands.progress_bar import Bars

    with Takt(url) as takt:
        job = takt.replay(job_id, version)
        if wait:
            with Bars() as bars:
                job = wait_for(takt, job.id, bars)
            print_note(summary_of(job))
    show_job(job, json=as_document)


@reports_errors
def retry(
    job_id: JobId,
    *,
    all_rows: Annotated[
        bool, typer.Option("--all", help="Run all rows, not only those without a result.")
    ] = False,
    version: Annotated[str | None, typer.Option(help="The version to run. Default: that of the job.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="Default: that of the job.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the new job.")] = False,
    url: Url = DEFAULT_URL,
    as_document: AsJson = False,
) -> None:
    """Run the failed rows of an ended job again, and print the new job."""
    from takt.client import Takt
    from takt.commands.progress_bar import Bars

    with Takt(url) as takt:
        job = takt.retry(job_id, rows="all" if all_rows else "failed", version=version, priority=priority)
        if wait:
            with Bars() as bars:
                job = wait_for(takt, job.id, bars)
            print_note(summary_of(job))
    show_job(job, json=as_document)


@reports_errors
def difference(
    job_id: JobId,
    against: Annotated[str, typer.Argument(metavar="OTHER", help="The other job's id.")],
    *,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Difference of numbers that counts as agreement.")
    ] = 0.0,
    output: Output = None,
    url: Url = DEFAULT_URL,
    as_document: AsJson = False,
) -> None:
    """Compare the results of two jobs with the same rows. With -o, write the differing rows to a file."""
    from takt.client import Takt
    from takt.commands.output_files import pour
    from takt.formats import Format

    check_output(output)
    with Takt(url) as takt:
        if output == "-":
            pour(takt.stream_difference(job_id, against, Format.NDJSON, tolerance=tolerance))
            return
        if output is not None:
            size_bytes = takt.download_difference(job_id, against, output, tolerance=tolerance)
            print_note(f"→ {output} ({megabytes(size_bytes)})")
        report = takt.difference(job_id, against, tolerance=tolerance)
    if as_document:
        typer.echo(as_json(report))
        return
    for line in _lines_of(report):
        typer.echo(line)


def _lines_of(report: Json) -> Iterator[str]:
    a, b = report["a"], report["b"]
    yield (
        f"{a['model']}@{a['version']} against {b['model']}@{b['version']}: {report['rows']} rows, "
        f"{report['disagreement']:.4%} disagree"
    )
    names = ("equal", "within_tolerance", "different", "failed_a", "failed_b", "failed_both")
    yield "  " + ", ".join(f"{name} {report[name]}" for name in names)
    if report["same_rows"] is False:
        yield "  the rows of the two jobs are not the same"
    for one in report["outputs"]:
        if one["changed"]:
            yield f"  {one['output']}: {one['changed']} changed{_quantiles_of(one)}"
        for change in one["changes"][:_MOST_CHANGES]:
            yield f"    {change['a']} → {change['b']}: {change['rows']}"


def _quantiles_of(output: Json) -> str:
    found = output["quantiles"]
    return "; " + ", ".join(f"{name} {found[name]:.3g}" for name in ("p50", "p99", "max")) if found else ""
