"""A misspelt setting is reported with the most similar setting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.setting_names import PREFIX, UnknownSetting, unknown_in_file, unknown_settings
from shared.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("TAKT_PROT", "TAKT_PORT"),
        ("TAKT_BATCH_LIMIT", "TAKT_BATCH_LIMIT_S"),
        ("TAKT_MAX_JOB_BYTE", "TAKT_MAX_JOB_BYTES"),
        ("TAKT_REDISURL", "TAKT_REDIS_URL"),
        ("TAKT_APIKEY", "TAKT_API_KEY"),
        ("takt_lease_ss", "TAKT_LEASE_S"),
        ("TAKT_COMPLETELY_DIFFERENT_WORDS", ""),
    ],
)
def test_a_misspelt_setting_is_named_with_the_nearest(name: str, nearest: str) -> None:
    assert list(unknown_settings([name])) == [UnknownSetting(name, nearest)]


def test_no_known_name_is_reported() -> None:
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    others = ["TAKT_URL", "TAKT_API_KEY", "PATH", "takt_port", "TAKT_REDIS_MAXMEMORY"]
    links = ["TAKT_VALKEY_SERVICE_HOST", "TAKT_VALKEY_SERVICE_PORT", "TAKT_VALKEY_PORT_6379_TCP_ADDR"]
    assert list(unknown_settings([*known, *others, *links])) == []


def test_names_in_an_env_file_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# TAKT_NO=1\nTAKT_PORT=1\nexport TAKT_LOG_LEVLE=debug\n\nnonsense\n", encoding="utf-8")
    assert unknown_in_file(file) == [UnknownSetting("TAKT_LOG_LEVLE", "TAKT_LOG_LEVEL")]
    assert unknown_in_file(tmp_path / "none") == []


def test_every_variable_of_the_example_env_file_is_known(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    file = tmp_path / ".env"
    file.write_text(example.replace("# TAKT_", "TAKT_"), encoding="utf-8")
    assert "TAKT_PUBLISH=" in file.read_text(encoding="utf-8")
    assert unknown_in_file(file) == []


@pytest.mark.parametrize(
    "program",
    [
        ["-m", "api"],
        ["-m", "stack", "keys", "list"],
        ["-c", "from takt.cli import main; main()", "models", "list"],
    ],
)
def test_each_program_warns_once_of_a_misspelt_setting(program: list[str], tmp_path: Path) -> None:
    environment = os.environ | {"TAKT_LOG_FORMATT": "json", "TAKT_MODELS_DIR": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, *program],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert said.count("Did you mean TAKT_LOG_FORMAT?") == 1, said


def test_the_client_warns_of_a_misspelt_variable_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from takt.cli import main; main()", "status", "--help"],
        env=os.environ | {"TAKT_APIKEY": "x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "TAKT_APIKEY has no effect. Did you mean TAKT_API_KEY?" in done.stderr
