"""An MLServer runtime for the model, with tensors as input and columns as output."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.served_model import load


class Model(MLModel):
    async def load(self) -> bool:
        self._served = load(Path(os.environ["BENCH_FOLDER"]) / "model.json")
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        found = self._served.probabilities(rows.astype(self._served.kind, copy=False))
        labels = self._served.labels(found)
        outputs = [
            StringCodec.encode_output("label", labels),
            NumpyCodec.encode_output("confidence", np.asarray(found.max(axis=1), dtype=np.float64)),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
