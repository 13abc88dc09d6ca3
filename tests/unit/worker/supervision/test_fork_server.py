"""What a fork server opens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sklearn.linear_model import LinearRegression

from shared.frameworks import builtin
from shared.settings import Settings
from tests.support.artifacts import version_of
from tests.support.specimens import declaration
from worker.control.control_messages import NotOpened, Open
from worker.supervision.fork_server import ForkServer


def test_a_framework_that_is_not_forkable_is_left_to_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = version_of(declaration(), LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), tmp_path)
    monkeypatch.setitem(
        builtin.BUILTIN, "scikit-learn", replace(builtin.BUILTIN["scikit-learn"], forkable=False)
    )
    server = ForkServer(cast(Any, None), Settings(), supervisor=0)
    monkeypatch.setattr(server, "_version", lambda _: version)
    reply = server._opened(Open(version.key, cast(Any, None)))
    assert reply == NotOpened(version.key, "framework 'scikit-learn' is not forkable", apart=True)
