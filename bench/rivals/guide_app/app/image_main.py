"""The vision model in a FastAPI app, written as the guide writes its PyTorch app: an image per request."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import numpy as np
import torch
from fastapi import FastAPI, File, UploadFile
from PIL import Image, ImageOps
from PIL.Image import Resampling

from bench.models.vision.network import Vision

CLASSES = ["scratch", "dent", "stain", "ok"]
ml_models: dict[str, Any] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    model = Vision(classes=len(CLASSES))
    model.load_state_dict(torch.load(os.environ["BENCH_ARTIFACT"], weights_only=True))
    model.eval()
    ml_models["vision"] = model
    yield
    ml_models.clear()


app = FastAPI(title="Image model API", lifespan=lifespan)


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/predict")
def predict(photo: Annotated[UploadFile, File()]) -> dict[str, Any]:
    image = Image.open(io.BytesIO(photo.file.read())).convert("RGB")
    image = ImageOps.fit(image, (224, 224), Resampling.BILINEAR)
    pixels = np.asarray(image).astype(np.float32) / np.float32(255)
    input_tensor = torch.tensor(pixels.transpose(2, 0, 1)[None])
    with torch.no_grad():
        logits = ml_models["vision"](input_tensor)
        probabilities = torch.softmax(logits, dim=1)
    probs = probabilities[0].cpu().numpy().tolist()
    return {"defect": CLASSES[int(np.argmax(probs))], "probabilities": probs}
