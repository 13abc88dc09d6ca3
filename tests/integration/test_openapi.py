"""The running service conforms to the OpenAPI document for all requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.schema import fuzz
from tests.support.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(400)]


def test_every_answer_is_as_the_document_promises(stack: Stack, tmp_path: Path) -> None:
    code, said = fuzz(stack.url, examples=5, seed=1, folder=tmp_path, limit_s=360, versions=False)
    assert code == 0, said
    assert stack.parts["gateway"].running
