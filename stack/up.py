"""`takt up`: starts, supervises and stops a stack."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import redis

from shared.liveness_files import read_supervisor_file
from shared.settings import environment
from stack import model_building, valkey
from stack.append_only_file import cut_off, torn_tails
from stack.command_errors import CommandError, ServiceFailedError
from stack.data_folder import Folder, StackRecord, held
from stack.first_prediction import curl, first_prediction
from stack.live_workers import all_ready, connect, held_text, workers_of
from stack.plan import Plan, check_port
from stack.process_group import ProcessGroup
from stack.service_logs import Log
from stack.services import Layer, Service
from stack.supervisor import Supervisor
from stack.up_output import Output
from takt.__main__ import INTERRUPTED


def up(plan: Plan, output: Output) -> int:
    """Run the stack until it is interrupted. Returns the exit code: 0 if it served, else `INTERRUPTED`.

    Raises CommandError if it cannot start; no process is left then.
    """
    plan.folder.make()
    with held(plan.folder) as lock, _ended_by_signals(), closing(ProcessGroup()) as group:
        try:
            _run(plan, output, lock, group)
            code = 0
        except KeyboardInterrupt:
            code = INTERRUPTED
        output.ended()
    return code


def _run(plan: Plan, output: Output, lock: int, group: ProcessGroup) -> None:
    """Returns after an interruption. Raises KeyboardInterrupt if it comes before the stack serves."""
    check_port(plan.settings.host, plan.settings.port)
    output.begins(plan)
    _build(plan, output, group)
    services, redis_url = _services(plan, output, lock)
    plan.folder.write_record(_record(plan, redis_url))
    supervisor = Supervisor(services, group, output)
    try:
        _start(supervisor, plan.folder)
        if plan.guarded:
            output.serving_keys(plan, curl(plan.http_url, plan.models[0].example_row(), keyed=True))
        else:
            output.serving(plan, first_prediction(plan))
        with suppress(KeyboardInterrupt):
            supervisor.watch()
    finally:
        _stop(supervisor, group, output)


def _build(plan: Plan, output: Output, group: ProcessGroup) -> None:
    """Build the models that have no artifact. Raises CommandError if no model is left to serve."""
    if names := plan.unbuilt():
        output.building(names)
        program = model_building.ModelProgram(
            environment({"models_dir": str(plan.repository.root)}),
            Log(plan.folder.logs / "build.log"),
            output.model_prints,
            group.group,
        )
        failed = [line for line in _built(names, program, output) if not line.ok]
        if len(failed) == sum(len(plan.keys_of(spec)) for spec in plan.models):
            raise CommandError(f"{failed[0].model} cannot be built: {failed[0].reason}")


def _built(
    names: list[str], program: model_building.ModelProgram, output: Output
) -> Iterator[model_building.Built]:
    for line in model_building.build(names, (), program):
        output.built(line)
        yield line


def _start(supervisor: Supervisor, folder: Folder) -> None:
    try:
        supervisor.start()
    except ServiceFailedError as failure:
        raise (valkey.explain(failure, folder) if failure.service == "valkey" else failure) from None


def _stop(supervisor: Supervisor, group: ProcessGroup, output: Output) -> None:
    """Stop the services in order; a second Ctrl-C kills them."""
    try:
        supervisor.stop()
    except KeyboardInterrupt:
        output.ends_at_once()
        group.kill()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C. A SIGHUP ignored by nohup stays ignored."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- services ----------------------------------------------------------------------------------------------


def _services(plan: Plan, output: Output, lock: int) -> tuple[list[Service], str]:
    """Returns the services and the URL of their queue."""
    if plan.redis_url is not None:
        found = valkey.existing(plan.redis_url, plan.settings.durable())
        output.queue_found(found, valkey.masked(plan.redis_url))
        return _programs(plan, plan.redis_url), plan.redis_url
    _repair(plan, output)
    address = valkey.new_address()
    given = valkey.configuration(address, plan.folder.data, plan.settings.durability)
    server = valkey.service(valkey.find_binary(), address, plan.folder, lock, environment({}), given=given)
    return [server, *_programs(plan, address.url)], address.url


def _repair(plan: Plan, output: Output) -> None:
    """Truncate an incomplete append-only file. Raises CommandError if the queue's data is damaged."""
    if cuts := torn_tails(plan.folder.data):
        output.cut_off(cuts, cut_off(plan.folder.data, cuts, datetime.now(UTC)))


def _programs(plan: Plan, redis_url: str) -> list[Service]:
    settings = plan.environment(redis_url)
    return [_gateway(plan, settings), _workers(plan, settings | plan.worker_environment(), redis_url)]


def _gateway(plan: Plan, settings: dict[str, str]) -> Service:
    return Service(
        name="gateway",
        layer=Layer.GATEWAY,
        command=(sys.executable, "-m", "api"),
        ready=lambda _: plan.http_url if _lives(plan.http_url) else None,
        log=Log(plan.folder.logs / "gateway.log"),
        environment=environment(settings),
        grace_s=plan.settings.shutdown_grace_s + 5,
    )


def _lives(http_url: str) -> bool:
    try:
        # plain HTTP on this machine: ignore proxies; loading CA certificates would take 50 ms a call
        return httpx.get(f"{http_url}/health/live", timeout=0.8, trust_env=False, verify=False).is_success  # noqa: S501
    except httpx.TransportError:
        return False


def _workers(plan: Plan, settings: dict[str, str], redis_url: str) -> Service:
    """The supervisor of all workers."""
    name = settings["worker_name"]
    return Service(
        name=name,
        layer=Layer.WORKERS,
        command=(sys.executable, "-m", "worker", "run"),
        ready=lambda pid: _serves(redis_url, name, pid),
        log=Log(plan.folder.logs / f"{name}.log"),
        environment=environment(settings),
        grace_s=plan.settings.shutdown_grace_s + 10,  # the supervisor kills its workers before that
        inner_restarts=lambda pid: _restarted_workers(plan.folder.run, name, pid),
    )


def _restarted_workers(run_dir: Path, name: str, pid: int) -> tuple[int, str]:
    found = read_supervisor_file(run_dir, name)
    if found is None or found.pid != pid or found.last_exit is None:
        return 0, ""
    worker = found.last_exit.worker.rpartition(":")[0]
    return found.restarts, f"{worker} {found.last_exit.reason}"


def _serves(redis_url: str, name: str, pid: int) -> str | None:
    try:
        with connect(redis_url) as client:
            records = workers_of(client, name, pid)
    except redis.RedisError:
        return None
    if not all_ready(records):
        return None
    names = {record.name for record in records}  # a worker and its successor have the same name
    workers = f"{len(names)} × " if len(names) > 1 else ""
    models = {key: held for record in records for key, held in record.models.items()}
    return f"{workers}{records[0].device}: {held_text(models)}"


def _record(plan: Plan, redis_url: str) -> StackRecord:
    return StackRecord(
        pid=os.getpid(),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        http_url=plan.http_url,
        redis_url=redis_url,
    )
