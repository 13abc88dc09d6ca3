"""Private parts of libraries: importing a module fails if the installed release lacks them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from shared.library_hooks import TESTED_RELEASES, require_hooks

ROOT = Path(__file__).parents[3]

HTTPTOOLS = "uvicorn.protocols.http.httptools_impl"
REMOVED = """
import {module} as library
owner = library.{owner}
for of in owner.__mro__:
    if {name!r} in vars(of):
        delattr(of, {name!r})
import {importer}
"""


class Owner:
    def __init__(self) -> None:
        self.kept = 1

    def method(self) -> None: ...


def test_what_is_there_is_accepted() -> None:
    require_hooks("uvicorn", Owner, ("method",), attributes=("kept",))


def test_what_is_missing_is_named_with_the_release_to_install() -> None:
    with pytest.raises(ImportError) as refusal:
        require_hooks("uvicorn", Owner, ("method", "gone"), attributes=("kept", "lost"))
    assert "has no Owner.gone, Owner.lost, which Takt overrides or calls" in str(refusal.value)
    assert f"pip install 'uvicorn=={TESTED_RELEASES['uvicorn']}'" in str(refusal.value)


@pytest.mark.parametrize(
    ("importer", "module", "owner", "name"),
    [
        (
            "api.server.protocol",
            HTTPTOOLS,
            "HttpToolsProtocol",
            "_start_asgi_task",
        ),
        ("api.server.protocol", HTTPTOOLS, "HttpToolsProtocol", "_should_upgrade"),
        ("api.server.serving", "uvicorn", "Server", "on_tick"),
        ("worker.broker.transport", "kombu.transport.redis", "Channel", "_create_client"),
        ("worker.online.stream", "redis.connection", "AbstractConnection", "_get_socket"),
        ("shared.connections", "redis.asyncio.connection", "AbstractConnection", "send_packed_command"),
    ],
)
def test_a_library_without_a_hook_is_refused_at_import(
    importer: str, module: str, owner: str, name: str
) -> None:
    program = REMOVED.format(module=module, owner=owner, name=name, importer=importer)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"has no {owner}.{name}, which Takt overrides or calls" in done.stderr.splitlines()[-1]


def test_the_tested_releases_are_those_that_are_required_and_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["api"]]
    required += project["optional-dependencies"]["worker"]
    named = {text.split("[")[0].split("=")[0].split(">")[0]: text.rpartition("==")[2] for text in required}
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    for library, release in TESTED_RELEASES.items():
        assert named[library] == release
        assert pinned[library].startswith(release.removesuffix("*"))
