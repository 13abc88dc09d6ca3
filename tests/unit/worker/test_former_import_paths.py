"""Import paths that build.py files and operators' scripts of earlier releases use."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize(
    ("former", "name", "current"),
    [
        ("worker.building", "Build", "worker.models.build"),
        ("worker.tools", "app", "worker.broker.inspect"),
    ],
)
def test_a_former_import_path_leads_to_the_same_object(former: str, name: str, current: str) -> None:
    moved = getattr(importlib.import_module(current), name)
    assert getattr(importlib.import_module(former), name) is moved
