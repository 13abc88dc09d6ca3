"""`python -m worker run | quarantine | health | build | verify | new`: commands that need the frameworks."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from redis.exceptions import RedisError

from shared import keys
from shared.connections import connect
from shared.errors import ServiceError
from shared.keys import split_model_key
from shared.logs import configure_logging
from shared.repository import Repository, open_repository
from shared.setting_names import warn_of_unknown_settings
from shared.settings import settings
from shared.texts import names_in
from shared.worker_records import WorkerState, from_hash
from worker.id_file import id_file
from worker.models.command_lines import CommandLines

ALIVE_MARGIN_S = 10.0
"""Seconds beyond the batch limit that a heartbeat may be late before its worker counts as stuck."""


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except ServiceError as error:
        print(error.detail, file=sys.stderr)  # noqa: T201 - a command writes errors to stderr
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("run", help="serve until SIGTERM or SIGINT").set_defaults(command=run)
    quarantine_parser = commands.add_parser(
        "quarantine", help="internal: run the rows of a chunk that ended two workers"
    )
    quarantine_parser.add_argument("model", metavar="MODEL@VERSION")
    quarantine_parser.set_defaults(command=quarantine)
    health_parser = commands.add_parser(
        "health", help="exit 0 if the worker of this host serves and has loaded its models"
    )
    health_parser.add_argument(
        "--alive", action="store_true", help="exit 0 if it is alive in any state, for example draining"
    )
    health_parser.set_defaults(command=health)
    build_parser = commands.add_parser("build", help="train models and write their artifacts")
    build_parser.add_argument("models", nargs="*", metavar="MODEL[@VERSION]", help="default: all")
    build_parser.add_argument("--version", help="version to build; default: the model's default version")
    build_parser.add_argument("--force", action="store_true", help="rebuild versions that are already built")
    build_parser.set_defaults(command=build)
    _add_lines_to(build_parser)
    verify_parser = commands.add_parser("verify", help="check digests and golden rows")
    verify_parser.add_argument("models", nargs="*", metavar="MODEL[@VERSION]", help="default: all")
    verify_parser.set_defaults(command=verify)
    _add_lines_to(verify_parser)
    new_parser = commands.add_parser("new", help="make a model from a trained file")
    new_parser.add_argument("model", metavar="NAME")
    new_parser.add_argument("--from", dest="source", type=Path, required=True, help="the trained file")
    new_parser.add_argument("--sample", type=Path, help="a table with rows as in training")
    new_parser.add_argument("--version", default="1.0.0", help="the version; default: 1.0.0")
    new_parser.add_argument("--inputs", default="", help="names of the inputs in the order of training")
    new_parser.add_argument("--classes", default="", help="names of the classes in the model's order")
    new_parser.add_argument("--code", type=Path, action="append", default=[], help="a module of the model")
    new_parser.add_argument("--force", action="store_true", help="replace a model of this name")
    new_parser.set_defaults(command=new)
    _add_lines_to(new_parser)
    return parser


def _add_lines_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lines-to",
        type=int,
        metavar="FD",
        help="write the JSON lines to this file descriptor instead of stdout",
    )


def run(_: argparse.Namespace) -> int:
    """Run a worker process: a Celery worker with the engine as a boot step. Returns when the worker
    ends."""
    from worker.broker.celery_app import app
    from worker.process import CHUNK_THREADS

    configure_logging(settings())  # Celery logs warnings before it sends its own signal to configure logging
    warn_of_unknown_settings()
    own = ["--hostname", f"{settings().worker_name}@%h", "--loglevel", settings().log_level]
    quiet = ["--without-gossip", "--without-mingle"]
    if not settings().celery_tools:
        quiet.append("--without-heartbeat")
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool",
            "threads",
            "--concurrency",
            str(CHUNK_THREADS),
            "--queues",
            keys.idle_queue(),
            *own,
            *quiet,
        ]
    )
    return 0


def quarantine(options: argparse.Namespace) -> int:
    """Run the quarantine process of a model version: tasks on stdin, results on stdout."""
    from worker.sandbox.sandbox_process import serve

    configure_logging(settings())
    return serve(options.model, settings())


def health(options: argparse.Namespace) -> int:
    """Exit 0 if the worker of this name on this host serves and has loaded its models, except failed ones.

    Reads its heartbeat; needs no remote control. While models load, the status is 1, although loaded models
    are served: a rollout that replaced the next worker now would leave the others without a worker.

    With `--alive`: exit 0 if it beats, in any state, and also while Redis does not answer.
    """
    path = id_file(settings())
    try:
        worker_id, beat_at_s = path.read_text(encoding="utf-8").strip(), path.stat().st_mtime
    except OSError:
        return _unhealthy("no worker of this name has started on this host")
    if options.alive:
        # the watchdog ends a stuck process; until then a long model call may delay the heartbeat
        silent_s = time.time() - beat_at_s
        limit_s = settings().batch_limit_s + ALIVE_MARGIN_S
        return 0 if silent_s < limit_s else _unhealthy(f"{worker_id} has been silent for {silent_s:.0f} s")
    try:
        with connect(settings().redis_dsn(), timeout_s=2.0) as client:
            record = from_hash(client.hgetall(keys.worker(worker_id)))
    except RedisError as error:
        return _unhealthy(f"Redis does not answer: {error}")
    if record is None:
        return _unhealthy(f"{worker_id} has no heartbeat")
    if record.state is not WorkerState.SERVING:
        return _unhealthy(f"{worker_id} is {record.state}")
    return 0 if record.is_ready else _unhealthy(f"{worker_id} still loads {', '.join(record.loading)}")


def build(options: argparse.Namespace) -> int:
    """Build models and write a JSON line for each. Exit 1 if a build failed."""
    from worker.models.build import build_model
    from worker.predictors.library_versions import mismatch

    lines = CommandLines(options.lines_to)
    repository = open_repository(settings().models_dir)

    def one(name: str, version: str) -> dict[str, object]:
        version = version or options.version or _default(repository, name)
        built_before = version in _built(repository, name)
        made = build_model(repository, name, version or None, force=options.force)
        difference = mismatch(made.manifest.frameworks, made.spec.framework, made.manifest.artifact)
        return {
            "version": made.manifest.version,
            "state": "present" if built_before and not options.force else "built",
            "metrics": made.manifest.metrics,
            "warnings": [difference] if difference else [],
        }

    return _for_each(options.models or _all(repository), one, lines)


def verify(options: argparse.Namespace) -> int:
    """Verify models and write a JSON line for each. Exit 1 if a verification failed."""
    from worker.models.verify import verify_model

    lines = CommandLines(options.lines_to)
    repository = open_repository(settings().models_dir)

    def one(name: str, version: str) -> dict[str, object]:
        result = verify_model(
            repository,
            name,
            version or None,
            device=settings().device,
            threads=settings().threads,
            mismatch=settings().framework_mismatch,
            runtime=settings().runtime,
        )
        return {
            "version": split_model_key(result.key)[1],
            "state": "ok" if result.ok else "failed",
            "reason": result.problem,
            "rows_per_s": result.rows_per_s,
            "runtime": result.runtimes.in_words(),
            "warnings": result.warnings,
            "compared": [msgspec.to_builtins(one, str_keys=True) for one in result.runtimes.measured],
        }

    return _for_each(options.models or _all(repository), one, lines)


def new(options: argparse.Namespace) -> int:
    """Make a model from a trained file and write its JSON line. Exit 1 if that failed."""
    from worker.models.drafting.new_model import Request, Worker, new_model

    lines = CommandLines(options.lines_to)
    own = settings()
    worker = Worker(own.device, own.threads, own.framework_mismatch, own.runtime)
    request = Request(
        options.model,
        options.source,
        options.sample,
        options.version,
        tuple(names_in(options.inputs)),
        tuple(names_in(options.classes)),
        tuple(options.code),
        options.force,
    )

    def one(_name: str, _version: str) -> dict[str, object]:
        return new_model(request, own.models_dir, worker, _say).as_line()

    return _for_each([options.model], one, lines)


def _say(step: str) -> None:
    print(step, flush=True)  # noqa: T201 - the output of a command


def _for_each(
    names: Iterable[str], work: Callable[[str, str], dict[str, object]], lines: CommandLines
) -> int:
    """Call `work` for each model, named `NAME` or `NAME@VERSION`, and write its line."""
    configure_logging(settings())
    failed = False
    for named in names:
        name, version = split_model_key(named)
        begun_s = time.monotonic()
        lines.begin(name, version)
        try:
            line = work(name, version)
        except ServiceError as error:
            line = {"version": version, "state": "failed", "reason": error.detail}
        except (Exception, SystemExit) as error:  # code of a model may raise anything
            line = {"version": version, "state": "failed", "reason": f"{type(error).__name__}: {error}"}
        failed |= line["state"] == "failed"
        lines.write({"model": name} | line | {"seconds": round(time.monotonic() - begun_s, 2)})
    return int(failed)


def _all(repository: Repository) -> list[str]:
    return sorted(repository.specs.keys() | repository.wrong.keys())


def _default(repository: Repository, name: str) -> str:
    return repository.specs[name].default_version if name in repository.specs else ""


def _built(repository: Repository, name: str) -> list[str]:
    return repository.versions(name) if name in repository.specs else []


def _unhealthy(reason: str) -> int:
    print(reason, file=sys.stderr)  # noqa: T201 - a command writes errors to stderr
    return 1


if __name__ == "__main__":
    sys.exit(main())
