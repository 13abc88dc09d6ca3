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
Reason = Annotated[str, typer.Option(help="Why, for the history of the deployment.")]


@reports_errors
def deploy(
    model: Name,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version to serve.")],
    *,
    canary: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Percent of the requests for it; the rest keeps the default."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait until a worker holds it.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds that --watch waits.")] = 300.0,
    reason: Reason = "",
    url: Url = DEFAULT_URL,
    as_document: AsJson = False,
) -> None:
    """Serve a version of a model: to all requests that name no version, or with --canary to some."""
    from takt.client import Takt

    with Takt(url) as takt:
        before = takt.deployment(model)
        after = takt.deploy(model, _target(before, version, canary, reason), generation=before["generation"])
        if watch:
            after = _held(takt, model, version, timeout_s)
        _show(after, as_document)


@reports_errors
def rollback(model: Name, url: Url = DEFAULT_URL, as_document: AsJson = False) -> None:
    """Serve again what the last promotion replaced."""
    from takt.client import Takt

    with Takt(url) as takt:
        _show(takt.roll_back(model), as_document)


def _target(before: Json, version: str, canary: float | None, reason: str) -> Json:
    """The new target: the version is wanted besides those that are wanted now."""
    target = {name: before[name] for name in ("default", "aliases", "shadow")}
    target["wanted"] = list(dict.fromkeys([*before["wanted"], version]))
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
    if found["serves"] != found["default"]:
        print_note(f"{found['serves']} is served until a worker holds {found['default']}")
