"""Building and verifying: the other models are built even if a model's code prints, exits or dies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import environment
from stack.model_building import Built, ModelProgram, build, verify
from stack.service_logs import Log

SPEC = """
name = "{name}"
framework = "scikit-learn"
default_version = "1.0.0"

[[inputs]]
name = "x"
type = "float"
example = 1.5

[[outputs]]
name = "y"
view = "value"
"""
LINE = """
import joblib
from sklearn.linear_model import LinearRegression
from worker.models.build import Build


def line(folder):
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), folder / "m.joblib")
    return Build("m.joblib")
"""
NOISY = """
import ctypes, os, subprocess, sys, threading

print("as it is imported")


def build(folder):
    print('{"model": "noisy", "state": "failed"}')
    os.write(1, b"by its descriptor\\n")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
    other = threading.Thread(target=lambda: print("from a thread"))
    other.start()
    other.join()
    subprocess.run([sys.executable, "-c", "print('from a child')"])
    sys.stdout.close()
    return line(folder)
"""
OUTPUT = [
    "as it is imported",
    '{"model": "noisy", "state": "failed"}',
    "by its descriptor",
    "from C",
    "from a thread",
    "from a child",
]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    codes = {
        "dies": "import os\n\n\ndef build(folder):\n    os._exit(5)\n",
        "exits": "import sys\n\n\ndef build(folder):\n    sys.exit(3)\n",
        "noisy": NOISY + LINE,
        "plain": LINE + "\n\nbuild = line\n",
    }
    for name, code in codes.items():
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        (folder / "model.toml").write_text(SPEC.format(name=name))
        (folder / "build.py").write_text(code)
    return tmp_path / "models"


class Outputs(list[tuple[str, str]]):
    def __call__(self, model: str, line: str) -> None:
        self.append((model, line))


def program(models: Path, outputs: Outputs) -> ModelProgram:
    settings = environment({"models_dir": str(models)})
    return ModelProgram(settings, Log(models.parent / "models.log"), outputs)


def test_each_model_is_built_regardless_of_the_output_and_exit_of_others(models: Path) -> None:
    outputs = Outputs()
    names = sorted(folder.name for folder in models.iterdir())
    lines: dict[str, Built] = {line.model: line for line in build(names, (), program(models, outputs))}
    assert {name: line.state for name, line in lines.items()} == {
        "dies": "failed",
        "exits": "failed",
        "noisy": "built",
        "plain": "built",
    }
    assert "it ended with code 5" in str(lines["dies"].reason)
    assert "SystemExit: 3" in str(lines["exits"].reason)
    assert outputs == [("noisy", line) for line in OUTPUT]


def test_a_model_that_prints_as_it_is_loaded_is_verified_in_any_version(models: Path) -> None:
    outputs = Outputs()
    opened = program(models, outputs)
    assert [line.state for line in build(["plain", "plain@1.1.0-rc.1"], (), opened)] == ["built", "built"]
    code = models / "plain" / "loud.py"
    code.write_text(
        "from sklearn.linear_model import LinearRegression\n\nprint('loud')\n\n\n"
        "class Loud(LinearRegression):\n    pass\n"
    )
    loud = LINE.replace("LinearRegression()", "Loud()").replace(
        "from worker", "from .loud import Loud\nfrom worker"
    )
    (models / "plain" / "build.py").write_text(loud + "\n\nbuild = line\n")
    assert [line.name for line in build(["plain@2.0.0"], (), opened)] == ["plain@2.0.0"]
    outputs.clear()
    named = ["plain", "plain@1.1.0-rc.1", "plain@2.0.0", "plain@3.0.0"]
    found = list(verify(named, opened))
    assert [(line.version, line.state) for line in found] == [
        ("1.0.0", "ok"),
        ("1.1.0-rc.1", "ok"),
        ("2.0.0", "ok"),
        ("3.0.0", "failed"),
    ]
    assert outputs == [("plain", "loud")]


def test_verify_obeys_the_setting_for_artifacts_of_another_version(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = LINE.replace('Build("m.joblib")', 'Build("m.joblib", frameworks={"joblib": "1.0.0"})')
    (models / "plain" / "build.py").write_text(old + "\n\nbuild = line\n")
    [made] = build(["plain"], (), program(models, Outputs()))
    assert "warning: built with joblib 1.0.0" in made.as_text()
    [warned] = verify(["plain"], program(models, Outputs()))
    assert warned.ok
    assert "warning: built with joblib 1.0.0" in warned.as_text()
    monkeypatch.setenv("TAKT_FRAMEWORK_MISMATCH", "refuse")
    [refused] = verify(["plain"], program(models, Outputs()))
    assert not refused.ok
    assert "built with joblib 1.0.0" in str(refused.reason)


def test_called_by_itself_the_program_gives_its_lines_on_stdout_and_prints_on_stderr(models: Path) -> None:
    shutil.rmtree(models / "dies")
    done = subprocess.run(
        [sys.executable, "-m", "worker", "build", "noisy"],
        env=os.environ | {"TAKT_MODELS_DIR": str(models)},
        capture_output=True,
        text=True,
        check=True,
    )
    states = [json.loads(line)["state"] for line in done.stdout.splitlines()]
    assert states == ["built"]
    assert all(line in done.stderr for line in OUTPUT)
