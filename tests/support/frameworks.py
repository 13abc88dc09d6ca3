"""Tests that need a library which is an optional extra: they skip without it, except in CI."""

from __future__ import annotations

import importlib.util
import os

import pytest


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip the test if a module is missing. In CI nothing is skipped, so the test fails there."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    in_ci = os.environ.get("CI") == "true"
    return pytest.mark.skipif(bool(missing) and not in_ci, reason=f"not installed: {', '.join(missing)}")
