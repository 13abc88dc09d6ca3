"""A large CSV goes in and comes out in every format, in order, every value the model's own."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.large.conftest import Say
from tests.support import samples
from tests.support.parity import hold_against_model
from tests.support.samples import Drawn

pytestmark = [pytest.mark.large, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(("model", "drawn"), [("iris", samples.flowers), ("quality", samples.parts)])
def test_a_large_csv_is_its_models_in_every_format_and_in_order(
    models: Path, http: httpx.Client, tmp_path: Path, rows: int, say: Say, *, model: str, drawn: Drawn
) -> None:
    job = hold_against_model(http, models, model, drawn(rows), tmp_path, limit_s=3000)
    say(f"{model}: {job['rows_succeeded']:,} rows equal in 4 formats, {job['rows_per_s']:,.0f} rows/s")
