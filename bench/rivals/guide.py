"""The guide's in-process app, word for word, started as its section 8 says, without reloading.

uvicorn takes uvloop and httptools where they are installed, as they are here: faster than the guide's own
installation, which lacks them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.answers import ROW, guide_answer
from bench.rivals import Place, Rival


def _command(place: Place) -> Sequence[str]:
    models = place.folder / "models"
    models.mkdir()
    (models / "iris_model.joblib").symlink_to(place.artifact)
    app = str(Path(__file__).with_name("guide_app"))
    listen = ("--host", "127.0.0.1", "--port", str(place.port))
    return [sys.executable, "-m", "uvicorn", "app.main:app", "--app-dir", app, *listen]


RIVAL = Rival(
    name="guide",
    about="FastAPI as the guide writes it, one worker: predict and predict_proba in each call",
    command=_command,
    path="/predict",
    body=json.dumps(ROW).encode(),
    answer=guide_answer,
)
