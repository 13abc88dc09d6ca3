"""Set-up installs CUDA packages only on request or with a warning, and can be interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack.doctor import build_of_torch
from tests.support.processes import members
from tools import install
from tools.install import TORCH, TORCH_CPU_INDEX, torch_attempts


def test_linux_asks_for_the_cpu_build_here_then_at_pytorch_and_only_then_for_the_default_with_a_warning() -> (
    None
):
    (_, here), (_, pytorch), (warning, default) = torch_attempts("Linux", chosen="")
    assert here == ["--no-deps", f"torch=={TORCH}+cpu"]
    assert pytorch[:4] == [*here, "--index-url", TORCH_CPU_INDEX]
    assert default == [f"torch=={TORCH}"]
    assert "several GB of CUDA packages" in warning


def test_macos_installs_the_only_build() -> None:
    assert [arguments for _, arguments in torch_attempts("Darwin", chosen="")] == [[f"torch=={TORCH}"]]


def test_an_operators_choice_is_passed_to_pip_as_it_is_and_nothing_else_is_tried() -> None:
    chosen = "torch==2.13.0 --index-url https://download.pytorch.org/whl/cu130"
    assert [arguments for _, arguments in torch_attempts("Linux", chosen)] == [chosen.split()]


def test_a_chosen_torch_is_not_held_to_the_tested_version_but_everything_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path)
    tested = install.CONSTRAINTS.read_text().splitlines()
    assert install.tested_versions("") == install.CONSTRAINTS
    held = install.tested_versions("torch==9.9").read_text().splitlines()
    assert set(tested) - set(held) == {f"torch=={TORCH}"}


def test_the_build_of_torch_is_known_by_its_version() -> None:
    assert build_of_torch("2.13.0+cpu", "linux") == "CPU"
    assert build_of_torch("2.13.0+cu130", "linux") == "CUDA"
    assert build_of_torch("2.13.0", "linux") == "CUDA"
    assert build_of_torch("2.13.0", "darwin") == "CPU"


# -- Ctrl-C ------------------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone, as far as set-up reads it."""
    for name in install.INSTALLED_FROM:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(install.ROOT / name, tmp_path / name)
    return tmp_path


def interrupted(clone: Path, at: str) -> str:
    """Run set-up in a process group of its own and press Ctrl-C when it prints `at`. Returns its output."""
    with subprocess.Popen(
        [sys.executable, clone / "tools" / "install.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
        # a shell's background job ignores SIGINT, and so would all that it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread
    ) as process:
        assert process.stdout is not None
        printed = ""
        while at not in printed:
            printed += process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        printed += process.stdout.read()
        assert process.wait() == install.INTERRUPTED
    assert members(process.pid) == []
    assert "Traceback" not in printed
    assert printed.endswith("set-up: interrupted; the next run continues\n")
    return printed


def test_ctrl_c_while_the_environment_is_created_leaves_no_half_of_it(clone: Path) -> None:
    interrupted(clone, at="creating .venv")
    assert not (clone / ".venv").exists()


def test_ctrl_c_while_pip_runs_ends_pip_and_the_next_run_continues(clone: Path) -> None:
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\ncase "$*" in *pip*) exec sleep 1000;; esac\n')
    python.chmod(0o755)
    for _ in range(2):
        interrupted(clone, at="torch")
        assert python.exists()
        assert not (clone / ".venv" / "takt-setup.json").exists()
