"""`takt deploy` and `takt rollback`: which versions of a model are served."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from takt.commands.terminal import DEFAULT_URL, AsJson, Exit, Url, as_json, print_note, reports_errors

if TYPE_CHECKING:
    from takt.client import Takt
    from takt.records import Json

_LOOK_S = 0.5
_WHOLE = 100.0

Name = Annotated[str, typer.Argument(metavar="MODEL", help="The model.")]
Reason = Annotated[str, typer.Option(help="Reason, for the history of the deployment.")]


@reports_errors
def deploy(
    model: Name,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version to serve.")],
    *,
    canary: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Percent of the requests for it; the rest keeps the default."),
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="Workers drop every other version.")] = False,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Run it beside the others; its answers are only compared.")
    ] = False,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="With --shadow: share of the requests that also run on it.")
    ] = 0.1,
    watch: Annotated[bool, typer.Option("--watch", help="Wait until a worker holds it.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds that --watch waits.")] = 300.0,
    reason: Reason = "",
    url: Url = DEFAULT_URL,
    as_document: AsJson = False,
) -> None:
    """Serve a version of a model: to all requests that name no version, or with --canary to some.

    With --shadow it serves none: a share of the requests also runs on it, and its answers are compared.
    """
    from takt.client import Takt

    if sum((only, shadow, canary is not None)) > 1:
        raise typer.BadParameter("--only, --shadow and --canary exclude each other")
    with Takt(url) as takt:
        before = takt.deployment(model)
        target = _target(before, version, canary, reason)
        if only:
            target |= {"wanted": [version], "default": version, "split": {}, "aliases": {}}
            target.pop("shadow", None)
        if shadow:
            target |= {"default": before["default"], "split": before["split"]}
            target["shadow"] = {"version": version, "share": share}
        after = takt.deploy(model, target, generation=before["generation"])
        if watch:
            after = _held(takt, model, version, timeout_s)
        _show(after, as_document)


@reports_errors
def rollback(model: Name, url: Url = DEFAULT_URL, as_document: AsJson = False) -> None:
    """Serve again what the last promotion replaced."""
    from takt.client import Takt

    with Takt(url) as takt:
        _show(takt.roll_back(model), as_document)


@reports_errors
def rollout(
    model: Name,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version to serve in the end.")],
    *,
    steps: Annotated[str, typer.Option(help="Percent of the requests, step by step.")] = "1,10,50,100",
    hold_s: Annotated[float, typer.Option("--hold", help="Shortest duration of a step in seconds.")] = 300.0,
    max_error_rate: Annotated[float, typer.Option(help="Limit of 5xx answers, from 0 to 1.")] = 0.01,
    max_p99_ratio: Annotated[
        float, typer.Option(help="Limit of p99, as a multiple of that of the old version.")
    ] = 1.5,
    max_predict_ratio: Annotated[
        float, typer.Option(help="Limit of the mean time of model calls, as a multiple of the old.")
    ] = 1.5,
    min_requests: Annotated[int, typer.Option(help="Least number of requests in a step.")] = 200,
    max_disagreement: Annotated[
        float | None, typer.Option(help="Limit of shadowed rows that differ, from 0 to 1.")
    ] = None,
    gate: Annotated[
        str | None,
        typer.Option(metavar="JOB", help="Job to replay on the new version before the first step."),
    ] = None,
    gate_disagreement: Annotated[
        float, typer.Option(min=0, max=1, help="With --gate: limit of its rows that differ.")
    ] = 0.0,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Difference of numbers that counts as agreement.")
    ] = 0.0,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    reason: Reason = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Move requests to a version step by step, while its errors and durations stay within limits."""
    from takt.client import Takt

    try:
        percents = [float(step) for step in steps.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--steps: {steps!r} is no list of numbers, such as 1,10,50,100") from None
    rules = {
        "max_error_rate": max_error_rate,
        "max_p99_ratio": max_p99_ratio,
        "max_predict_ratio": max_predict_ratio,
        "min_requests": min_requests,
    }
    if max_disagreement is not None:
        rules |= {"max_disagreement": max_disagreement, "tolerance": tolerance}
    asked = {"to": version, "steps": percents, "hold_s": hold_s, "rules": rules, "reason": reason}
    if gate is not None:
        asked["gate"] = {"replay": gate, "max_disagreement": gate_disagreement, "tolerance": tolerance}
    with Takt(url) as takt:
        _show(takt.roll_out(model, asked), as_document=False)
        if watch:
            _follow(takt, model)


@reports_errors
def rollouts(
    model: Name,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the running rollout to its end.")] = False,
    url: Url = DEFAULT_URL,
    as_document: AsJson = False,
) -> None:
    """Show the running rollout of a model with its figures, and those that have ended."""
    from takt.client import Takt

    with Takt(url) as takt:
        found = takt.rollouts(model)
        if as_document:
            typer.echo(as_json(found))
            return
        for one in filter(None, [found["running"], *found["ended"]]):
            typer.echo(_line_of(one))
        if watch and found["running"]:
            _follow(takt, model)


def _follow(takt: Takt, model: str) -> None:
    """Print each change of the running rollout. Ends the program with 1 if it was rolled back."""
    last = ""
    while True:
        found = takt.rollouts(model)
        newest = found["running"] or found["ended"][0]
        if (line := _line_of(newest)) != last:
            typer.echo(line)
            last = line
        if found["running"] is None:
            raise typer.Exit(Exit.DONE if newest["state"] == "promoted" else Exit.REFUSED)
        time.sleep(_LOOK_S)


def _line_of(one: Json) -> str:
    figures = ", ".join(
        f"{each['version']}: {each['requests']} requests, {each['errors']} errors"
        + (f", p99 {each['p99_ms']:.1f} ms" if each["p99_ms"] is not None else "")
        for each in one["figures"]
    )
    why = one["reason"] or figures
    if one["state"] == "running" and (gate := one.get("gate")) and not gate["passed"]:
        why = f"waits for the replay {gate['job']}"
    line = f"{one['from_version']} → {one['to_version']}  {one['state']} at {one['percent']:g} %"
    return f"{line}  {why}".rstrip()


def _target(before: Json, version: str, canary: float | None, reason: str) -> Json:
    """The new target: the version is wanted besides those that are wanted now."""
    target = {name: before[name] for name in ("default", "aliases")}
    target["wanted"] = list(dict.fromkeys([*before["wanted"], version]))
    shadow = before.get("shadow")
    if shadow and shadow["version"] != version and (before["rollout"] or {}).get("state") != "running":
        target["shadow"] = {name: shadow[name] for name in ("version", "share", "tolerance")}
    if canary is None:
        return target | {"default": version, "split": {}, "reason": reason}
    rest = _WHOLE - canary
    return target | {"split": {before["default"]: rest, version: canary}, "reason": reason}


def _held(takt: Takt, model: str, version: str, timeout_s: float) -> Json:
    """Wait until a worker holds the version. Ends the program if none can load it."""
    limit_s = time.monotonic() + timeout_s
    while True:
        found = takt.deployment(model)
        state = next(one for one in found["versions"] if one["version"] == version)
        if state["state"] == "held":
            return found
        if state["state"] == "failed":
            print_note(f"{model}@{version} cannot be loaded: {state['failures'][0]}")
            raise typer.Exit(Exit.REFUSED)
        if time.monotonic() >= limit_s:
            print_note(f"{model}@{version} is {state['state']} after {timeout_s:g} s")
            raise typer.Exit(Exit.TRY_LATER)
        time.sleep(_LOOK_S)


def _show(found: Json, as_document: bool) -> None:
    if as_document:
        typer.echo(as_json(found))
        return
    split = ", ".join(f"{version} {percent:g} %" for version, percent in found["split"].items())
    typer.echo(f"{found['model']}: default {found['default']}" + (f"; split {split}" if split else ""))
    for one in found["versions"]:
        why = f": {one['failures'][0]}" if one["failures"] else ""
        typer.echo(f"  {one['version']:<12} {one['state']} by {len(one['workers'])} workers{why}")
    if shadow := found.get("shadow"):
        typer.echo(
            f"  shadow {shadow['version']} of {shadow['share']:.0%}: {shadow['compared']} rows compared, "
            f"{shadow['disagreement']:.2%} disagree, {shadow['dropped']} dropped"
        )
    if found["serves"] != found["default"]:
        print_note(f"{found['serves']} is served until a worker holds {found['default']}")
