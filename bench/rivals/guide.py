"""The guide's in-process app, unchanged, started as in the guide's section 8, without reloading.

uvicorn uses uvloop and httptools because they are installed here, and is therefore faster than the guide's
installation. A network is served by the guide's PyTorch app, with the network as a parameter.
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
