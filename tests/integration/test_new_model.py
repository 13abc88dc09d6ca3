"""From a trained file to predictions with two commands: `takt models new`, then `takt up`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import httpx
import joblib
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from takt import Takt
from tests.support import ai4i
from tests.support.servers import free_port
from tests.support.terminals import Terminal

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TABLE = ai4i.table(10_000)
FEATURES = TABLE[ai4i.FEATURES]


@pytest.fixture(scope="module")
def model() -> Any:  # Any: sklearn has no types
    columns = ColumnTransformer(
        [("kind", OneHotEncoder(), ["Type"]), ("numbers", StandardScaler(), ai4i.NUMBERS)]
    )
    trees = RandomForestClassifier(20, random_state=1)
    return make_pipeline(columns, trees).fit(FEATURES, TABLE[ai4i.TARGET])


def test_a_pipeline_on_a_raw_table_is_served_by_two_commands(tmp_path: Path, model: Any) -> None:
    joblib.dump(model, tmp_path / "failure.joblib")
    TABLE.to_csv(tmp_path / "ai4i.csv", index=False)
    port = free_port()
    terminal = Terminal(tmp_path, port)
    printed = terminal.types(".venv/bin/takt models new failure --from failure.joblib --sample ai4i.csv")
    assert printed.splitlines()[-1] == "next: takt up --models failure"
    with terminal.serving(".venv/bin/takt up"), Takt(f"http://127.0.0.1:{port}") as takt:
        expected = model.predict_proba(FEATURES)
        one = takt.predict(dict(FEATURES.iloc[0]), model="failure")
        assert one["probabilities"] == expected[0].tolist()
        batch = takt.predict_batch(FEATURES.head(100), model="failure")
        assert [row["probabilities"] for row in batch] == expected[:100].tolist()
        options = "--id-column UDI --keep-columns 'Product ID,Torque [Nm]'"
        terminal.types(f".venv/bin/takt submit ai4i.csv -m failure {options} -o out.csv")
        with (tmp_path / "out.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [json.loads(row["probabilities"]) for row in rows] == expected.tolist()
        assert [row["Product ID"] for row in rows] == TABLE["Product ID"].tolist()
        job = takt.submit(TABLE, model="failure")
        takt.wait(job.id)
        assert [row["probabilities"] for row in takt.results(job.id)] == expected.tolist()
        document = httpx.get(f"http://127.0.0.1:{port}/openapi.json").json()
        assert list(document["components"]["schemas"]["FailureInput"]["properties"]) == ai4i.FEATURES
