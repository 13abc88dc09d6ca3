"""ARCHITECTURE.md names what is there: tests, files, keys, contracts, dependencies."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator

import pytest

from shared import keys
from tests.support.documents import ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLACEHOLDERS = {
    "key": "{model}@{version}",
    "job_id": "{id}",
    "worker_id": "{id}",
    "gateway": "{gateway}:{boot}",
}
KEY = re.compile(r"(Stream|Hash|Sorted set|Set|String|Celery queue)\b")


def written_keys() -> Iterator[str]:
    """Every key that `shared/keys.py` spells, with the names of its parts in braces."""
    for _, spell in inspect.getmembers(keys, inspect.isfunction):
        if KEY.match(spell.__doc__ or ""):
            parts = [PLACEHOLDERS.get(name, f"{{{name}}}") for name in inspect.signature(spell).parameters]
            yield spell(*parts).removeprefix(f"{keys.PREFIX}:")


def test_the_table_of_keys_is_all_of_the_keys() -> None:
    table = TEXT.partition("| key (after")[2].partition("\n\n")[0]
    cells = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    assert {key for cell in cells for key in re.findall("`([^`]+)`", cell)} == set(written_keys())


def test_every_test_that_is_named_exists() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").glob("**/test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 20
    assert named <= set(re.findall(r"def (test_\w+)", sources))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w./-]+/[\w.-]*\.(?:py|lua|toml))`", TEXT))))
def test_every_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_the_contracts_are_as_many_as_it_says() -> None:
    assert "five contracts" in TEXT
    assert len(PROJECT["tool"]["importlinter"]["contracts"]) == 5


def test_every_dependency_has_its_reason() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = PROJECT["project"]["dependencies"] + [
        dependency for extra, listed in extras.items() if extra != "dev" for dependency in listed
    ]
    client = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=\[; ]", dependency)[0] for dependency in wanted + client}
    table = TEXT.partition("### Dependencies")[2].lower()
    assert {name for name in names - {"takt-client"} if name not in table} == set()
