"""The operator's commands by way of a gateway: `--url`, with a key in place of Redis' password."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import typer

from shared.key_requests import KeyRequest, ShareChange
from shared.recent_events import MOST_KEPT_CHARS
from shared.safe_texts import bounded
from shared.worker_records import GpuUse, SupervisorFacts
from stack.command_errors import CommandError
from stack.dead_letter_commands import hexadecimal
from stack.gateway_api import GatewayApi, Json, opened
from stack.live_workers import device_text, restarts_text
from stack.up_output import show

_LOOK_EVERY_S = 0.25


# -- workers -----------------------------------------------------------------------------------------------


def show_workers(url: str, *, as_json: bool) -> None:
    """Print every worker with a heartbeat."""
    with opened(url) as api:
        found = api.read("workers")["workers"]
    columns = ("worker", "host", "pid", "device", "state", "memory", "cpu", "restarts", "models", "now")
    _list(columns, found, _worker_row, "no worker has a heartbeat", as_json=as_json)


def order_workers(
    url: str,
    order: str,
    names: Sequence[str],
    *,
    everyone: bool,
    limit_s: float | None = None,
    wait: bool = False,
) -> bool:
    """Give workers an order: `drain`, `undrain` or `restart`. `wait`: until they hold no work, or, after
    `restart`, have been replaced. → False if that takes longer than `limit_s`."""
    if bool(names) == everyone:
        raise CommandError("name workers from takt workers list, or give --all")
    with opened(url) as api:
        targets = names or [each["id"] for each in _workers(api)]
        ids = [one for name in targets for one in api.change("POST", "workers", name, order)["workers"]]
        typer.echo(f"{order}: {', '.join(ids)}")
        return not wait or _followed(api, ids, order, limit_s)


def drain_workers(
    url: str, names: Sequence[str], *, everyone: bool, wait: bool, limit_s: float | None
) -> bool:
    """As `order_workers`."""
    return order_workers(url, "drain", names, everyone=everyone, wait=wait, limit_s=limit_s)


def undrain_workers(url: str, names: Sequence[str], *, everyone: bool) -> None:
    """Let workers accept work again."""
    order_workers(url, "undrain", names, everyone=everyone)


def show_stack(url: str, name: str) -> None:
    """Print the stacks of a worker's threads."""
    with opened(url) as api:
        typer.echo(api.read("workers", name, "stack")["stack"])


def show_log(url: str, name: str, level: str, *, as_json: bool) -> None:
    """Print the latest log events of a worker."""
    with opened(url) as api:
        events = api.read("workers", name, "log", level=level)["events"]
    for event in events:
        if as_json:
            typer.echo(msgspec.json.encode(event))
        else:
            typer.echo("\n".join(_event_lines(event)))


def _event_lines(event: Json) -> Iterator[str]:
    """`2026-03-02T06:30:01Z [warning] heartbeat_missed  reason=…`, then the lines of a traceback."""
    fields = dict(event["fields"])
    trace = str(fields.pop("exception", "") or "")
    values = "".join(f" {name}={value}" for name, value in fields.items())
    line = f"{event['at']} [{event['level']}] {event['event']}{values}"
    yield from (bounded(one, MOST_KEPT_CHARS) for one in (line, *trace.splitlines()))


def _followed(api: GatewayApi, ids: Sequence[str], order: str, limit_s: float | None) -> bool:
    begun_s, waiting = time.monotonic(), list(ids)
    while waiting:
        live = {each["id"]: each for each in _workers(api)}
        ended = [one for one in waiting if one not in live or (order == "drain" and live[one]["drained"])]
        for worker_id in ended:
            waiting.remove(worker_id)
            typer.echo(f"{worker_id} {'is drained' if worker_id in live else 'is gone'}")
        if waiting and limit_s is not None and time.monotonic() - begun_s > limit_s:
            typer.secho(f"takt: not yet after {limit_s:g} s: {', '.join(waiting)}", err=True)
            return False
        time.sleep(_LOOK_EVERY_S if waiting else 0.0)
    return True


def _workers(api: GatewayApi) -> list[Json]:
    found: list[Json] = api.read("workers")["workers"]
    return found


def _worker_row(worker: Json) -> list[str]:
    models = ", ".join(f"{each['model']}@{each['version']} {each['state']}" for each in worker["models"])
    state = "drained" if worker["drained"] else worker["state"]
    memory = f"{worker['rss_bytes'] / 2**20:.0f} MiB"
    cpu = worker.get("cpu_percent")
    gpu, supervisor = worker.get("gpu"), worker["supervisor"]
    device = device_text(worker["device"], msgspec.convert(gpu, GpuUse) if gpu else None)
    restarts = restarts_text(msgspec.convert(supervisor, SupervisorFacts) if supervisor else None)
    place = [worker["id"], worker["host"], str(worker["pid"]), device]
    use = [memory, "" if cpu is None else f"{cpu:.0f} %", restarts]
    return [*place, state, *use, models or "no model", worker["current"] or "idle"]


# -- dead letters ------------------------------------------------------------------------------------------


def show_letters(url: str, most: int, *, as_json: bool) -> None:
    """List dead letters, newest first."""
    with opened(url) as api:
        found = api.read("dead-letters", limit=most)["dead_letters"]
    columns = ("id", "at", "kind", "model", "place", "size_bytes", "reason")
    _list(
        columns, found, lambda each: [str(each[name]) for name in columns], "no dead letters", as_json=as_json
    )


def show_letter(url: str, letter: str, *, as_json: bool) -> None:
    """Print a dead letter and its first bytes."""
    with opened(url) as api:
        found = api.read("dead-letters", letter)
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    for name in ("id", "at", "kind", "model", "place", "size_bytes", "reason"):
        typer.echo(f"{name:<10} {found[name]}")
    for line in hexadecimal(b64decode(found["beginning"])):
        typer.echo(line)


def requeue(url: str, letters: Sequence[str]) -> None:
    """Return messages and chunks to their queues; ends at the first that cannot be requeued."""
    with opened(url) as api:
        for letter in letters:
            api.act("POST", "dead-letters", letter, "requeue")
            typer.echo(f"{letter} requeued")


def drop(url: str, letters: Sequence[str]) -> None:
    """Delete dead letters."""
    with opened(url) as api:
        for letter in letters:
            api.act("DELETE", "dead-letters", letter)
            typer.echo(f"{letter} dropped")


# -- keys --------------------------------------------------------------------------------------------------


def create_key(url: str, request: KeyRequest, *, as_json: bool) -> None:
    """Create a key and print it, once."""
    body = msgspec.to_builtins(request)
    share = {name: value for name, value in body.pop("share").items() if value is not None}
    with opened(url) as api:
        made = api.change("POST", "keys", body=body | share)
    typer.echo(msgspec.json.encode(made) if as_json else made["key"])
    if not as_json:
        typer.echo(f"\nThe key is shown only once. Its id is {made['id']}.", err=True)


def show_keys(url: str, *, as_json: bool) -> None:
    """Print the stored keys, oldest first."""
    with opened(url) as api:
        found = api.read("keys")["keys"]
    columns = ("id", "name", "roles", "models", "state", "created", "expires", "last used")
    _list(columns, found, _key_row, "no keys; create a key with takt keys create NAME", as_json=as_json)


def set_share(url: str, owner: str, change: ShareChange, *, as_json: bool) -> None:
    """Change the share of an owner."""
    given = {name: value for name, value in msgspec.to_builtins(change).items() if value is not None}
    if not given:
        raise CommandError("nothing to set: give --weight, --max-running-rows or --max-jobs")
    with opened(url) as api:
        share = api.change("PATCH", "owners", owner, body=given)
    typer.echo(
        msgspec.json.encode(share) if as_json else f"All keys of {owner} together have: {_words(share)}."
    )


def revoke_keys(url: str, ids: Sequence[str]) -> None:
    """Revoke keys; ends at the first that does not exist."""
    with opened(url) as api:
        for key_id in ids:
            api.change("DELETE", "keys", key_id)
            typer.echo(f"{key_id} revoked; takes effect on every gateway within two seconds.")


def _words(share: Json) -> str:
    return ", ".join(f"{name} {'no limit' if value is None else value}" for name, value in share.items())


def _key_row(key: Json) -> list[str]:
    roles, models = ", ".join(key["roles"]), ", ".join(key["models"]) or "all"
    moments = [key["created_at"], *(key[name] or "never" for name in ("expires_at", "last_used_at"))]
    return [key["id"], key["name"], roles, models, key["state"], *moments]


# -- storage, settings, versions ---------------------------------------------------------------------------


def show_storage(url: str, *, as_json: bool) -> None:
    """Print the use of the payload store by owner, and orphaned objects."""
    with opened(url) as api:
        found = api.read("storage")
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    free = "unknown" if found["free_bytes"] is None else _size(found["free_bytes"])
    orphaned = sum(each["bytes"] for each in found["orphans"])
    typer.echo(f"used {_size(found['used_bytes'])}, free {free}")
    typer.echo(f"{len(found['orphans'])} orphaned jobs, {_size(orphaned)}: takt storage clean")
    rows = [[each["owner"], str(each["jobs"]), _size(each["bytes"])] for each in found["owners"]]
    show(("owner", "jobs", "size"), rows, empty="no job has objects")


def clean_storage(url: str, older_than_s: float) -> None:
    """Remove orphaned objects."""
    with opened(url) as api:
        found = api.change("POST", "storage", "clean", older_than_s=older_than_s)
    typer.echo(f"removed the objects of {len(found['removed'])} jobs, {_size(found['bytes'])}")


def show_settings(url: str, *, changed: bool, as_json: bool) -> None:
    """Print the settings of a gateway. `changed`: only those that differ from the default."""
    with opened(url) as api:
        found = [one for one in api.read("settings")["settings"] if not (changed and one["is_default"])]
    _list(
        ("variable", "value", "default"),
        found,
        lambda one: [one["variable"], str(one["value"]), "yes" if one["is_default"] else "no"],
        "all settings have their defaults",
        as_json=as_json,
    )


def show_versions(url: str, *, as_json: bool) -> None:
    """Print the versions of the gateway, the queue's server and the workers."""
    with opened(url) as api:
        found = api.read("versions")
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    rows = [["queue", "", "", f"{found['queue']['name']} {found['queue']['version']}"]]
    for name, part in [("gateway", found["gateway"]), *((each["worker"], each) for each in found["workers"])]:
        packages = ", ".join(f"{package} {version}" for package, version in part["packages"].items())
        rows.append([name, part["takt"], part["python"], packages])
    show(("part", "takt", "python", "packages"), rows, empty="")


def _list(
    columns: Sequence[str],
    found: Iterable[Json],
    row: Callable[[Json], list[str]],
    empty: str,
    *,
    as_json: bool,
) -> None:
    if as_json:
        for each in found:
            typer.echo(msgspec.json.encode(each))
    else:
        show(columns, [row(each) for each in found], empty=empty)


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB"
