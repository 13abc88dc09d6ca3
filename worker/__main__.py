"""`python -m worker run | quarantine | health | build | verify | new`: commands that need the frameworks."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shared.errors import ServiceError
from shared.keys import model_key, split_model_key
from shared.logs import configure_logging
from shared.safe_texts import names_in
from shared.setting_names import warn_of_unknown_settings
from shared.settings import settings

if TYPE_CHECKING:
    from shared.repository import Repository
    from worker.environments.commands import CommandLines
    from worker.environments.creation import Environment


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
    commands.add_parser("run", help="run and supervise workers until SIGTERM or SIGINT").set_defaults(
        command=run
    )
    for name, command, text in (
        ("fork-server", fork_server, "internal: hold the models, and fork workers"),
        ("process", process, "internal: a worker that loads its models"),
    ):
        inner_parser = commands.add_parser(name, help=text)
        inner_parser.add_argument("descriptor", type=int, help="of the socket to the supervisor")
        inner_parser.set_defaults(command=command)
    quarantine_parser = commands.add_parser(
        "quarantine", help="internal: run the rows of a chunk that ended two workers"
    )
    quarantine_parser.add_argument("model", metavar="MODEL@VERSION")
    quarantine_parser.set_defaults(command=quarantine)
    commands.add_parser("refresh", help="copy declarations of models from an object store").set_defaults(
        command=refresh
    )
    health_parser = commands.add_parser(
        "health", help="exit 0 if the workers of this host serve and have loaded their models"
    )
    health_parser.add_argument(
        "--alive", action="store_true", help="exit 0 if they are alive in any state, for example draining"
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
    verify_parser.add_argument(
        "--candidate", action="store_true", help="internal: a version that is not published yet"
    )
    verify_parser.set_defaults(command=verify)
    _add_lines_to(verify_parser)
    new_parser = commands.add_parser("new", help="make a model from a trained file, or from a table alone")
    new_parser.add_argument("model", metavar="NAME")
    new_parser.add_argument("--from", dest="source", type=Path, help="the trained file")
    new_parser.add_argument("--mlflow", metavar="URI", help="a model of MLflow instead of a file")
    new_parser.add_argument("--sample", type=Path, help="a table with rows as in training")
    new_parser.add_argument("--version", default="1.0.0", help="the version; default: 1.0.0")
    new_parser.add_argument("--inputs", default="", help="names of the inputs in the order of training")
    new_parser.add_argument("--classes", default="", help="names of the classes in the model's order")
    new_parser.add_argument("--code", type=Path, action="append", default=[], help="a module of the model")
    new_parser.add_argument("--trust", action="append", default=[], help="a type in a file of skops")
    new_parser.add_argument(
        "--requirement", action="append", default=[], help="a package of the model's own environment"
    )
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
    """Run the supervisor of this machine's workers. Returns when they have ended."""
    from worker.environments.commands import worker_command
    from worker.supervision.supervisor import WorkerSupervisor

    configure_logging(settings())
    warn_of_unknown_settings()
    if settings().uses_object_store():  # in a process of its own: the library starts threads
        subprocess.run(worker_command("refresh"), check=False)  # noqa: S603 - this project's own program
    return WorkerSupervisor(settings()).run()


def refresh(_: argparse.Namespace) -> int:
    """Bring this machine's copies of declarations and manifests up to date. Exit 1 if the store is away."""
    from shared.model_cache import open_model_cache

    if (cache := open_model_cache(settings())) is not None:
        cache.refresh()
    return 0


def fork_server(options: argparse.Namespace) -> int:
    """Run a fork server for the supervisor at the other end of a descriptor."""
    from worker.supervision.fork_server import serve

    return serve(options.descriptor)


def process(options: argparse.Namespace) -> int:
    """Run a worker that is no fork and loads its models, for the supervisor at the other end of a
    descriptor."""
    from worker.broker import celery_app
    from worker.control.channel import Channel
    from worker.control.supervisor_link import SupervisorLink
    from worker.process_parts import Handover

    configure_logging(settings())  # Celery logs warnings before it sends its own signal to configure logging
    link = SupervisorLink(Channel.of_descriptor(options.descriptor))
    celery_app.run(Handover(link.start_order, link))
    return 0


def quarantine(options: argparse.Namespace) -> int:
    """Run the quarantine process of a model version: tasks on stdin, results on stdout."""
    from worker.sandbox.sandbox_process import serve_program

    configure_logging(settings())
    return serve_program(options.model, settings())


def health(options: argparse.Namespace) -> int:
    """Exit 0 if the supervisor of this name on this host is alive, and its workers serve and have loaded
    their models, except failed ones.

    Reads their heartbeats; needs no remote control. While models load, the status is 1, although loaded
    models are served: a rollout that replaced the next supervisor now would leave the others without a
    worker.

    With `--alive`: exit 0 if supervisor and workers beat, in any state, and also while Redis does not answer.
    """
    from worker.health_command import problem_of_life, problem_of_service

    problem = problem_of_life(settings()) if options.alive else problem_of_service(settings())
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201 - a command writes errors to stderr
    return int(bool(problem))


def build(options: argparse.Namespace) -> int:
    """Build models and write a JSON line for each. Exit 1 if a build failed."""
    from shared.repository import open_repository
    from worker.environments.commands import CommandLines
    from worker.models.build import build_model
    from worker.models.environment_files import environment_of_build
    from worker.predictors.library_versions import mismatch

    lines = CommandLines(options.lines_to)
    repository = open_repository(settings().models_dir)

    def one(name: str, version: str) -> dict[str, object]:
        version = version or options.version or _default(repository, name)
        built_before = version in _built(repository, name)
        environment = environment_of_build(repository, name, version, settings(), _say, force=options.force)
        if environment and (options.force or not built_before):
            force = ["--force"] if options.force else []
            return _in_environment(environment, ["build", model_key(name, version), *force])
        made = build_model(repository, name, version or None, force=options.force)
        difference = mismatch(made.manifest.frameworks, made.spec.framework, made.manifest.artifact)
        return {
            "version": made.manifest.version,
            "state": "present" if built_before and not options.force else "built",
            "metrics": made.manifest.metrics,
            "warnings": [difference] if difference and not environment else [],
            **_about(environment),
        }

    return _for_each(options.models or _all(repository), one, lines)


def verify(options: argparse.Namespace) -> int:
    """Verify models and write a JSON line for each. Exit 1 if a verification failed."""
    from shared.repository import open_repository
    from worker.control.operating_system import yield_to_workers
    from worker.environments.commands import CommandLines
    from worker.models.build import complete_version
    from worker.models.environment_files import environment_of_version, found_version
    from worker.models.verify import verify_model

    lines = CommandLines(options.lines_to)
    root = settings().models_dir
    if options.candidate:
        yield_to_workers()

    def one(name: str, version: str) -> dict[str, object]:
        if options.candidate:
            complete_version(root / name / version)
        repository = open_repository(root)
        found = found_version(repository, name, version or None)
        environment = found and environment_of_version(found, settings(), _say)
        if found and environment:
            return _in_environment(environment, ["verify", found.key])
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

    return _for_each(options.models or _all(open_repository(root)), one, lines)


def new(options: argparse.Namespace) -> int:
    """Make a model from a trained file and write its JSON line. Exit 1 if that failed."""
    from shared.environments import own_environment
    from worker.environments.commands import CommandLines
    from worker.models.drafting.mlflow_registry import pull_model
    from worker.models.drafting.new_model import DraftWorker, Request, check_request, new_model
    from worker.models.environment_files import environment_of_requirements

    lines = CommandLines(options.lines_to)
    own = settings()
    worker = DraftWorker(own.device, own.threads, own.framework_mismatch, own.runtime)
    request = Request(
        options.model,
        options.source,
        options.sample,
        options.version,
        tuple(names_in(options.inputs)),
        tuple(names_in(options.classes)),
        tuple(options.code),
        tuple(options.trust),
        options.force,
        tuple(options.requirement),
    )

    def one(_name: str, _version: str) -> dict[str, object]:
        if request.requirements and not own_environment():
            check_request(request, own.models_dir)
            environment = environment_of_requirements(request.requirements, own, _say)
            return _in_environment(environment, ["new", *_words_of_new(options)])
        if options.mlflow:
            return pull_model(options.mlflow, request, own.models_dir, worker, _say).as_line()
        return new_model(request, own.models_dir, worker, _say).as_line()

    return _for_each([options.model], one, lines)


def _in_environment(environment: Environment, arguments: list[str]) -> dict[str, object]:
    """Run a command on a model with the interpreter of its environment. → its line."""
    from worker.environments.commands import last_line

    return last_line(environment, arguments) | _about(environment)


def _about(environment: Environment | None) -> dict[str, object]:
    if environment is None:
        return {}
    return {"environment": environment.name, "environment_s": round(environment.took_s, 2)}


def _words_of_new(options: argparse.Namespace) -> list[str]:
    """The arguments of `new`, for the same command in an environment."""
    given = {
        "--from": [options.source] if options.source else [],
        "--sample": [options.sample] if options.sample else [],
        "--version": [options.version],
        "--inputs": [options.inputs] if options.inputs else [],
        "--classes": [options.classes] if options.classes else [],
        "--code": options.code,
        "--trust": options.trust,
        "--requirement": options.requirement,
    }
    words = [f"{flag}={value}" for flag, values in given.items() for value in values]
    return [options.model, *words, *(["--force"] if options.force else [])]


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


if __name__ == "__main__":
    sys.exit(main())
