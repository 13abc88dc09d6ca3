"""The guide's in-process app, word for word, started as its section 8 says, without reloading.

uvicorn takes uvloop and httptools where they are installed, as they are here: faster than the guide's own
installation, which lacks them. A network is served by the guide's PyTorch app, which is told which network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.rivals import Place, Rival


def _command(place: Place) -> Sequence[str]:
    models = place.folder / "models"
    models.mkdir()
    forest = place.artifact.suffix == ".joblib"
    (models / ("iris_model.joblib" if forest else "classifier.pt")).symlink_to(place.artifact)
    app = str(Path(__file__).with_name("guide_app"))
    module = "app.main:app" if forest else "app.torch_main:app"
    listen = ("--host", "127.0.0.1", "--port", str(place.port))
    return [str(place.python), "-m", "uvicorn", module, "--app-dir", app, *listen]


RIVAL = Rival(
    name="guide",
    about="FastAPI as the guide writes it, one worker; for the forest predict and predict_proba in each call",
    command=_command,
    many_path=None,
)
