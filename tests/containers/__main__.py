"""`python -m tests.containers`: build the images, start the stack, check both, and clean up.

The program uses the available Docker and needs only Python. The stack has its own project name, images and
port, so that a running stack is not affected. A check is a function: its name is the claim, its result is
printed beside the name, and an AssertionError is a failure.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeAlias

from tests.containers import images, running
from tests.containers.stack import Stack, compose_command, docker_problem, new_stack

Check: TypeAlias = Callable[[Stack], str]


def main() -> int:
    problem = docker_problem()
    if problem:
        say(f"SKIPPED, nothing was checked: Docker is not available ({problem})")
        return 0
    stack = new_stack(compose_command())
    try:
        return run(stack)
    finally:
        stack.remove()


def run(stack: Stack) -> int:
    begun_s = time.monotonic()
    say(f"building and starting {stack.project} at {stack.url} (minutes, the first time)")
    try:
        stack.up(workers=2)
    except subprocess.CalledProcessError as error:
        say(f"FAIL  it does not come up\n{tail(error.output)}")
        return 1
    say(f"up after {time.monotonic() - begun_s:.0f} s")
    checks: list[Check] = [*images.CHECKS, *running.CHECKS]
    failed = [check for check in checks if not holds(check, stack)]
    if failed:
        say(tail(stack.logs(), lines=60))
    say(f"{len(checks)} checks, {len(failed)} failed, {time.monotonic() - begun_s:.0f} s")
    return 1 if failed else 0


def holds(check: Check, stack: Stack) -> bool:
    name = check.__name__.replace("_", " ")
    try:
        detail = check(stack)
    except subprocess.CalledProcessError as error:
        say(f"FAIL  {name}: {error}\n{tail(error.output)}")
    except (AssertionError, OSError) as error:
        say(f"FAIL  {name}: {error}")
    else:
        say(f"ok    {name}" + (f": {detail}" if detail else ""))
        return True
    return False


def tail(text: str, lines: int = 25) -> str:
    return "\n".join(f"      {line}" for line in text.splitlines()[-lines:])


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # its lines are what this program gives


if __name__ == "__main__":
    sys.exit(main())
