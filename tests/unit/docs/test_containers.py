"""The settings in the containers' files exist. `make containers-test` runs the containers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent.parent

OF_THE_CONTAINER = {
    "host",
    "port",
    "gateway_name",
    "worker_name",
    "device",
    "models_dir",
    "models_cache_dir",
    "environments_dir",
    "run_dir",
    "spool_dir",
}
"""Settings that the images or the services set, not an operator."""


@pytest.mark.parametrize("file", ["docker-compose.yml", ".env.example"])
def test_every_setting_that_an_operator_changes_is_passed_on_and_listed(file: str) -> None:
    names = set(re.findall(r"^[ #]*TAKT_(\w+)[:=]", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE))
    wanted = {name.upper() for name in Settings.model_fields.keys() - OF_THE_CONTAINER}
    assert sorted(wanted - names) == []


def test_no_setting_is_named_that_does_not_exist() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    passed_on = set(re.findall(r"^  TAKT_(\w+):", text, re.MULTILINE))
    assert sorted(passed_on - {name.upper() for name in Settings.model_fields}) == []


@pytest.mark.parametrize("file", ["docker-compose.yml", "Dockerfile.api", "Dockerfile.worker"])
def test_the_classic_builder_understands_the_files(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not re.search(r"^# *syntax=|--mount=|--chmod=", text, re.MULTILINE)
