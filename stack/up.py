"""`takt up`: from a plan to a stack that answers, and to its end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import httpx
import redis

from shared.settings import environment
from shared.workers import WorkerState
from stack import building, valkey
from stack.append_only_file import cut_off, torn_tails
from stack.errors import CommandError, ServiceFailed
from stack.folder import Folder, StackRecord, held
from stack.heartbeats import connect, held_in_words, worker_of
from stack.logs import Log
from stack.output import Output
from stack.plan import Plan, check_port
from stack.prediction import curl, first_prediction
from stack.process_group import ProcessGroup
from stack.services import Layer, Service
from stack.supervisor import Supervisor


def up(plan: Plan, voice: Output) -> None:
    """Run the stack until somebody ends it. Raises Refusal where it cannot start; nothing runs on then."""
    plan.folder.make()
    with held(plan.folder) as lock, _ended_by_signals(), closing(ProcessGroup()) as leash:
        try:
            _run(plan, voice, lock, leash)
        except KeyboardInterrupt:
            voice.ended()


def _run(plan: Plan, voice: Output, lock: int, leash: ProcessGroup) -> None:
    check_port(plan.settings.host, plan.settings.port)
    voice.begins(plan)
    _build(plan, voice, leash)
    parts, redis_url = _parts(plan, voice, lock)
    plan.folder.write_record(_record(plan, redis_url))
    supervisor = Supervisor(parts, leash, voice)
    try:
        _start(supervisor, plan.folder)
        if plan.guarded:
            voice.serving_keys(plan, curl(plan.http_url, plan.models[0].example_row(), keyed=True))
        else:
            voice.serving(plan, first_prediction(plan))
        supervisor.watch()
    finally:
        _stop(supervisor, leash, voice)


def _build(plan: Plan, voice: Output, leash: ProcessGroup) -> None:
    """Build what was never built. Raises Refusal if no model is left to serve."""
    if names := plan.unbuilt():
        voice.building(names)
        program = building.ModelProgram(
            environment({"models_dir": str(plan.repository.root)}),
            Log(plan.folder.logs / "build.log"),
            voice.model_prints,
            leash.group,
        )
        failed = [line for line in _built(names, program, voice) if not line.ok]
        if len(failed) == sum(len(plan.keys_of(spec)) for spec in plan.models):
            raise CommandError(f"{failed[0].model} cannot be built: {failed[0].reason}")


def _built(names: list[str], program: building.ModelProgram, voice: Output) -> Iterator[building.Built]:
    for line in building.build(names, (), program):
        voice.built(line)
        yield line


def _start(supervisor: Supervisor, folder: Folder) -> None:
    try:
        supervisor.start()
    except ServiceFailed as failure:
        raise (valkey.explain(failure, folder) if failure.part == "valkey" else failure) from None


def _stop(supervisor: Supervisor, leash: ProcessGroup, voice: Output) -> None:
    """End everything in order; a second Ctrl-C ends it at once."""
    try:
        supervisor.stop()
    except KeyboardInterrupt:
        voice.ends_at_once()
        leash.kill()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the stack as Ctrl-C does; a SIGHUP that nohup has shut out stays so."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- the parts ---------------------------------------------------------------------------------------------


def _parts(plan: Plan, voice: Output, lock: int) -> tuple[list[Service], str]:
    """The parts, and the URL of their queue."""
    if plan.redis_url is not None:
        found = valkey.existing(plan.redis_url, plan.settings.durable())
        voice.queue_found(found, valkey.masked(plan.redis_url))
        return _programs(plan, plan.redis_url), plan.redis_url
    _repair(plan, voice)
    address = valkey.new_address()
    given = valkey.configuration(address, plan.folder.data, plan.settings.durability)
    server = valkey.part(valkey.find_binary(), address, plan.folder, lock, environment({}), given=given)
    return [server, *_programs(plan, address.url)], address.url


def _repair(plan: Plan, voice: Output) -> None:
    """Raises Refusal where the queue's data is damaged."""
    if cuts := torn_tails(plan.folder.data):
        voice.cut_off(cuts, cut_off(plan.folder.data, cuts, datetime.now(UTC)))


def _programs(plan: Plan, redis_url: str) -> list[Service]:
    settings = plan.environment(redis_url)
    numbers = range(1, plan.workers + 1)
    workers = [_worker(plan, settings | plan.worker_environment(n), redis_url) for n in numbers]
    return [_gateway(plan, settings), *workers]


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
        # on this machine, by plain HTTP: no proxy leads there, and reading the authorities takes 50 ms a call
        return httpx.get(f"{http_url}/health/live", timeout=0.8, trust_env=False, verify=False).is_success  # noqa: S501
    except httpx.TransportError:
        return False


def _worker(plan: Plan, settings: dict[str, str], redis_url: str) -> Service:
    name = settings["worker_name"]
    return Service(
        name=name,
        layer=Layer.WORKERS,
        command=(sys.executable, "-m", "worker", "run"),
        ready=lambda pid: _serves(redis_url, name, pid),
        log=Log(plan.folder.logs / f"{name}.log"),
        environment=environment(settings),
        grace_s=plan.settings.shutdown_grace_s + 5,
    )


def _serves(redis_url: str, name: str, pid: int) -> str | None:
    try:
        with connect(redis_url) as client:
            record = worker_of(client, name, pid)
    except redis.RedisError:
        return None
    if record is None or record.state is not WorkerState.SERVING:
        return None
    return f"{record.device}: {held_in_words(record.models)}"


def _record(plan: Plan, redis_url: str) -> StackRecord:
    return StackRecord(
        pid=os.getpid(),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        http_url=plan.http_url,
        redis_url=redis_url,
    )
