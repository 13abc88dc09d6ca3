"""ARCHITECTURE.md and docs/architecture name only existing tests, files, keys and dependencies."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator

import pytest

from shared import keys
from tests.support.documents import ROOT

PAGES = [ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs" / "architecture").glob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLACEHOLDERS = {
    "key": "{model}@{version}",
    "job_id": "{id}",
    "worker_id": "{id}",
    "gateway": "{gateway}:{boot}",
}
KEY = re.compile(r"(Stream|List|Hash|Sorted set|Set|String|Celery queue)\b")


def written_keys() -> Iterator[str]:
    """Every key that `shared/keys.py` spells, with the names of its parts in braces."""
    for _, spell in inspect.getmembers(keys, inspect.isfunction):
        if KEY.match(spell.__doc__ or ""):
            parts = [PLACEHOLDERS.get(name, f"{{{name}}}") for name in inspect.signature(spell).parameters]
            yield spell(*parts).removeprefix(f"{keys.PREFIX}:")


def test_the_list_of_keys_is_all_of_the_keys() -> None:
    listed = TEXT.partition("Each key (after")[2].partition("\n\n")[2].partition("\n\n")[0]
    named = [line.split(" (")[0] for line in listed.splitlines() if line.startswith("- `")]
    assert {key for keys_of in named for key in re.findall("`([^`]+)`", keys_of)} == set(written_keys())


def test_every_test_that_is_named_exists() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").glob("**/test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 20
    assert named <= set(re.findall(r"def (test_\w+)", sources))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w./-]+/[\w.-]*\.(?:py|lua|toml))`", TEXT))))
def test_every_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def layers(package: str) -> list[str]:
    """The layers of a package from top to bottom, by the contract in pyproject.toml."""
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    found: list[str] = next(c["layers"] for c in contracts if c.get("containers") == [package])
    return found


@pytest.mark.parametrize("package", ["api", "worker"])
def test_the_layers_are_those_of_the_contract(package: str) -> None:
    line = re.search(rf"^{package} +(.*▸.*)$", TEXT, re.MULTILINE)
    assert line is not None
    drawn = [layer.split(" · ") for layer in line[1].split(" ▸ ")]
    declared = [layer.split(" | ") for layer in layers(package)]
    entries = (["__main__"], ["building", "tools"])  # programs, and former import paths
    below = [sorted(layer) for layer in declared if layer not in entries]
    assert [sorted(layer) for layer in drawn] == below


def test_every_dependency_has_its_reason() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = PROJECT["project"]["dependencies"] + [
        dependency for extra, listed in extras.items() if extra != "dev" for dependency in listed
    ]
    client = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=\[; ]", dependency)[0] for dependency in wanted + client}
    table = (ROOT / "docs" / "architecture" / "dependencies.md").read_text(encoding="utf-8").lower()
    assert {name for name in names - {"takt-client"} if name not in table} == set()
