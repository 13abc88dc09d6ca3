"""The life of a model in docs/models.md: its commands run unchanged, while the service serves."""

from __future__ import annotations

import shutil
from pathlib import Path

import joblib
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from takt import Takt
from tests.support import ai4i
from tests.support.ai4i import FEATURES, NUMBERS, TARGET
from tests.support.documents import ROOT, blocks
from tests.support.servers import free_port
from tests.support.terminals import Terminal

pytestmark = [pytest.mark.integration, pytest.mark.tools, pytest.mark.timeout(900)]

PAGE = ROOT / "docs" / "models.md"


def train(folder: Path) -> None:
    table = ai4i.table(2_000)
    table.head(500).to_csv(folder / "ai4i.csv", index=False)
    for seed, name in enumerate(("failure.joblib", "failure-2.joblib")):
        columns = ColumnTransformer(
            [("kind", OneHotEncoder(), ["Type"]), ("numbers", "passthrough", NUMBERS)]
        )
        model = make_pipeline(columns, RandomForestClassifier(10, random_state=seed))
        joblib.dump(model.fit(table[FEATURES], table[TARGET]), folder / name)


def test_the_life_of_a_model_is_what_the_page_says(models: Path, tmp_path: Path) -> None:
    train(tmp_path)
    shutil.copytree(models / "iris", tmp_path / "models" / "iris")
    port = free_port()
    terminal = Terminal(tmp_path, port)
    life = [block.code for block in blocks(PAGE) if block.code.startswith(".venv/bin/takt ")]
    draft, publish, canary, promote, clean = life
    with terminal.serving(".venv/bin/takt up"), Takt(f"http://127.0.0.1:{port}") as takt:
        terminal.types(draft)
        terminal.types(publish)
        assert takt.deployment("failure")["serves"] == "1.0.0"
        terminal.types(canary)
        assert takt.deployment("failure")["split"] == {"1.0.0": 90, "1.1.0": 10}
        terminal.types(promote)
        assert takt.deployment("failure")["default"] == "1.0.0", "rolled back"
        printed = terminal.types(clean)
        assert "failure@1.1.0  published" in printed
        assert "failure@1.0.0  deleted" in printed
        assert [one["version"] for one in takt.versions("failure")["versions"]] == ["1.1.0"]
        assert takt.deployment("failure")["default"] == "1.1.0"
    assert (tmp_path / "pulled" / "failure" / "1.1.0" / "model.toml").is_file()
