"""MLServer: the V2 inference protocol, adaptive batching, and the model in a single process besides the
server.

uvloop is pinned because MLServer crashes with 0.23 if its models run in separate processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from bench.answers import Answer
from bench.rivals import Place, Rival

_APP = Path(__file__).with_name("mlserver_app")


def _command(place: Place) -> Sequence[str]:
    ports = {"http_port": place.port, "grpc_port": 0, "metrics_port": 0, "metrics_endpoint": None}
    settings = {"host": "127.0.0.1", "parallel_workers": 1, "debug": False, **ports}
    batches = {"max_batch_size": 64, "max_batch_time": 0.005}
    model = {"name": "model", "implementation": "bench.rivals.mlserver_app.runtime.Model", **batches}
    (place.folder / "settings.json").write_text(json.dumps(settings))
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    return [str(place.python.with_name("mlserver")), "start", str(place.folder)]


def _body(request: Mapping[str, object]) -> bytes:
    """A flat float64 tensor, the fastest format for MLServer."""
    rows = cast(list[list[float]], request.get("inputs") or [request.get("features", [*request.values()])])
    tensor = {
        "name": "rows",
        "datatype": "FP64",
        "shape": [len(rows), len(rows[0])],
        "data": [value for row in rows for value in row],
    }
    return json.dumps({"inputs": [tensor]}).encode()


def _answers(body: bytes) -> list[Answer]:
    """Parse the answers of all rows. Raises ValueError."""
    try:
        outputs: dict[str, Any] = {one["name"]: one["data"] for one in json.loads(body)["outputs"]}
        pairs = zip(outputs["label"], outputs["confidence"], strict=True)
        return [Answer(str(label), float(confidence)) for label, confidence in pairs]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not answers of the V2 protocol: {error!r}") from error


def _first(body: bytes) -> Answer:
    answers = _answers(body)
    if not answers:
        raise ValueError("no answer")
    return answers[0]


RIVAL = Rival(
    name="mlserver",
    about="MLServer, batches of 64 within 5 ms, one model process, columns both ways",
    command=_command,
    requirements=_APP / "requirements.txt",
    distribution="mlserver",
    path="/v2/models/model/infer",
    many_path="/v2/models/model/infer",
    body=_body,
    answer=_first,
    answers=_answers,
)
