"""Every name in the documents exists: commands, options, targets, modules, settings, paths, files, events."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main

from api.app import create_app
from shared.metrics import cluster_metrics as cluster
from shared.metrics import gateway_metrics as gateway
from shared.metrics import worker_metrics as worker
from shared.settings import Settings
from takt import cli
from takt.commands.models import models as models_of_client
from tests.support.documents import ROOT
from tests.support.spans import shell_lines, spans

HISTORY = ROOT / "CHANGELOG.md"  # tells of names that are gone, too
DOCUMENTS = [
    *(path for path in sorted(ROOT.glob("*.md")) if path != HISTORY),
    ROOT / "models" / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
EVERY_DOCUMENT = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
OURS = ("api", "worker", "stack", "bench", "tests", "shared")
MADE_HERE = (".takt", ".venv", ".bench", "site")
"""Folders that the programs make; nothing in them is of the repository."""
OF_THE_MACHINE = {"srv", "proc", "tmp", "dev", "path", "usr", "etc", "sys", "app", "var", "data", "backup"}
OF_OTHERS = {"--reload", "--rps", "--build-arg"}
"""Options of programs that others make: uvicorn, h2load, Docker."""
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]+|-[a-zA-Z])(?![\w-])")
_END_OF_COMMAND = re.compile(r"\s(?:\||&&|;|>|2>)\s?")
_PATH = re.compile(r"\.?[\w-][\w.-]*(?:/[\w.-]+)+/?")


# -- what the documents say --------------------------------------------------------------------------------


def commands(path: Path, program: str) -> Iterator[str]:
    """The arguments of a program in the shell blocks and in spans."""
    called = re.compile(rf"(?:^|[\s(=])(?:\.venv/bin/)?{program}(?:\s+(.*))?$")
    for text in [*own_lines(path), *(span for span in spans(path) if not span.startswith("kubectl "))]:
        for part in _END_OF_COMMAND.split(text):
            if found := called.search(part):
                yield found[1] or ""


def own_lines(path: Path) -> list[str]:
    """The shell's lines but kubectl's, in which takt is a namespace and a slash no folder's."""
    return [line for line in shell_lines(path) if "kubectl " not in line]


@cache
def text_of(*places: str) -> str:
    """The source in these folders, and of these files, of the repository."""
    files = [
        path
        for place in places
        for path in ((ROOT / place).rglob("*") if (ROOT / place).is_dir() else [ROOT / place])
    ]
    sources = [
        path for path in files if path.suffix in (".py", ".yml", ".yaml", ".toml") or path.name == "Makefile"
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in sources)


# -- takt --------------------------------------------------------------------------------------------------


Options = set[str]


@cache
def takt() -> dict[str, Options]:
    """The options of each command, `workers list`, and of each group, by the words that call it.

    The program is composed from pyproject.toml, because the installed program may be older.
    """
    joined = typer.Typer()
    joined.callback()(cli._program)
    for own in cli.app.registered_commands:
        assert own.callback is not None
        joined.command(own.name)(own.callback)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    for name, place in declared["takt.commands"].items():
        command = EntryPoint(name, place, "takt.commands").load()
        if name == "models":
            cli.join_models(command)
            command = models_of_client
        joined.add_typer(command, name=name) if isinstance(command, typer.Typer) else joined.command(name)(
            command
        )
    return dict(_options(typer.main.get_command(joined), ()))


def _options(command: Any, called: tuple[str, ...]) -> Iterator[tuple[str, Options]]:
    """Any: which Click Typer brings depends on its version."""
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    yield " ".join(called), own | {"--help"}
    for name, child in getattr(command, "commands", {}).items():
        yield from _options(child, (*called, name))


def unknown_to_takt(words: str) -> list[str]:
    """The subcommand or the options among these words that `takt` does not have."""
    called, known = "", set(takt()[""])
    for word in words.split():
        if not any(name.startswith(f"{called} ".lstrip()) for name in takt() if name != called):
            break  # a command: what follows is its own
        if word.startswith("-"):
            continue
        if re.fullmatch("[a-z-]+", word):
            called = f"{called} {word}".strip()
            if called not in takt():
                return [called]
            known |= takt()[called]
    return [option for option in _OPTION.findall(words) if option not in known]


@EVERY_DOCUMENT
def test_every_takt_command_and_option_exists(path: Path) -> None:
    said = {words: unknown_to_takt(words) for words in commands(path, "takt")}
    assert {words: missing for words, missing in said.items() if missing} == {}


def test_a_command_or_an_option_that_is_not_there_is_found() -> None:
    assert unknown_to_takt("workers list --json") == []
    assert unknown_to_takt("workers lst") == ["workers lst"]
    assert unknown_to_takt("submit a.csv --colour red -o b") == ["--colour"]


# -- make, Python's modules, options -----------------------------------------------------------------------


@EVERY_DOCUMENT
def test_every_make_target_and_variable_exists(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    known |= {f"{name}=" for name in re.findall(r"^([A-Z_]+) \?=", makefile, re.MULTILINE)} | {
        "ROWS=",
        "JOB_ROWS=",
    }
    words = {word for line in commands(path, "make") for word in line.split()}
    assert {re.sub("=.*", "=", word) for word in words} <= known


@EVERY_DOCUMENT
def test_every_python_module_that_is_run_exists_with_its_options(path: Path) -> None:
    for words in commands(path, r"python[\d.]* -m"):
        module, _, rest = words.partition(" ")
        assert find_spec(module) is not None, module
        if module.partition(".")[0] in OURS:
            missing = [o for o in _OPTION.findall(rest) if f'"{o}"' not in text_of(module.partition(".")[0])]
            assert missing == [], words


@EVERY_DOCUMENT
def test_every_option_that_is_named_alone_exists(path: Path) -> None:
    sources = text_of(*OURS, "client", "Makefile", "pyproject.toml", "docker-compose.yml")
    alone = [span for span in spans(path) if span.startswith("--")]
    options = {option for span in alone for option in _OPTION.findall(span)}
    spelt = {option for option in options if re.search(rf"{option}(?![\w-])", sources)}
    assert options - spelt - OF_OTHERS - set().union(*takt().values()) == set()


# -- settings, metrics, events -----------------------------------------------------------------------------


@EVERY_DOCUMENT
def test_every_setting_exists(path: Path) -> None:
    known = {f"TAKT_{name.upper()}" for name in Settings.model_fields}
    for name in set(re.findall(r"\bTAKT_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))) - known:
        # one of the client's, of the containers' or of the Kubernetes manifests
        assert re.search(rf"\b{name}\b", text_of("client", "docker-compose.yml", "deploy", "stack")), name


@EVERY_DOCUMENT
def test_every_metric_exists(path: Path) -> None:
    known = {metric.name for metric in (*gateway.METRICS, *worker.METRICS, *cluster.METRICS)}
    named = {re.sub(r"\{.*", "", span) for span in spans(path) if re.match(r"takt_[a-z]+_[a-z_]+", span)}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} <= known


def test_every_event_of_the_table_of_logs_is_logged_somewhere() -> None:
    table = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8").partition("| event | meaning |")[2]
    cells = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    events = {event for cell in cells for event in re.findall(r"`(\w+)`", cell)}
    assert len(events) >= 10
    assert {event for event in events if f'"{event}"' not in text_of("api", "worker", "shared")} == set()


# -- URLs --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    payloads = tmp_path_factory.mktemp("payloads").as_uri()
    app = create_app(Settings(models_dir=ROOT / "models", payload_url=payloads))
    return [*app.openapi()["paths"], *(str(getattr(route, "path", "")) for route in app.routes), "/console"]


@EVERY_DOCUMENT
def test_the_gateway_has_every_path_of_ours(path: Path, routes: list[str]) -> None:
    of_curl = [url for line in shell_lines(path) for url in re.findall(r"localhost:8000(/[^\s\"'?#]*)", line)]
    of_spans = [
        found[1]
        for span in spans(path)
        if (found := re.match(r"(?:(?:GET|POST|PATCH|DELETE|PUT) )?(/[a-z][^\s?#\"]*)", span))
    ]
    asked = {url for url in of_curl + of_spans if url.split("/")[1] not in OF_THE_MACHINE}
    if path.name == "own-model.md":
        asked = {re.sub(r"^/models/(progress|torque)/", "/models/iris/", url) for url in asked}
    assert {url for url in asked if not any(_fits(url, route) for route in routes)} == set()


def _fits(url: str, route: str) -> bool:
    asked, there = url.rstrip("/").split("/"), route.split("/")
    alike = (
        one == other or "{" in one + other or one == "…" for one, other in zip(asked, there, strict=False)
    )
    return len(asked) == len(there) and all(alike)


# -- files -------------------------------------------------------------------------------------------------


@EVERY_DOCUMENT
def test_every_file_of_the_repository_that_is_named_exists(path: Path) -> None:
    named = {span for span in spans(path) if _PATH.fullmatch(span)}
    named |= {word for line in own_lines(path) for word in line.split() if _PATH.fullmatch(word)}
    assert {name for name in named if _is_ours(name) and not (ROOT / name).exists()} == set()


def _is_ours(name: str) -> bool:
    """Whether a path begins in a folder of the repository, and not in a that the programs make."""
    first = name.partition("/")[0]
    return (ROOT / first).is_dir() and first not in MADE_HERE
