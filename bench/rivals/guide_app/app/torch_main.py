# ruff: noqa  # the guide's text unchanged, except for the network, which model.json names
# fmt: off
import json
import pathlib

import torch
import numpy as np
from contextlib import asynccontextmanager
from fastapi import FastAPI
from pydantic import BaseModel, Field

from bench.served_model import network_class

MODEL = json.loads(pathlib.Path("model.json").read_text())
WIDTH = MODEL["width"]


# --- 스키마 ---
class TorchPredictionRequest(BaseModel):
    features: list[float] = Field(..., min_length=WIDTH, max_length=WIDTH)


class TorchPredictionResponse(BaseModel):
    predicted_class: int
    probabilities: list[float]


# --- 앱 ---
ml_models = {}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@asynccontextmanager
async def lifespan(app: FastAPI):
    # 모델 구조 생성 후 가중치 로드
    model = network_class(MODEL)(**MODEL["arguments"])
    model.load_state_dict(torch.load("models/classifier.pt", map_location=DEVICE))
    model.to(DEVICE)
    model.eval()  # 평가 모드 (Dropout, BatchNorm 비활성화)
    ml_models["classifier"] = model
    yield
    ml_models.clear()


app = FastAPI(title="PyTorch Model API", lifespan=lifespan)


# CPU/GPU 바운드이므로 일반 def 사용
@app.post("/predict", response_model=TorchPredictionResponse)
def predict(request: TorchPredictionRequest):
    """PyTorch 모델 예측"""
    # 입력 전처리
    input_tensor = torch.tensor([request.features], dtype=torch.float32).to(DEVICE)

    # 추론 (gradient 계산 비활성화 → 메모리/속도 최적화)
    with torch.no_grad():
        logits = ml_models["classifier"](input_tensor)
        probabilities = torch.softmax(logits, dim=1)

    probs = probabilities[0].cpu().numpy().tolist()
    predicted_class = int(np.argmax(probs))

    return TorchPredictionResponse(
        predicted_class=predicted_class,
        probabilities=[round(p, 4) for p in probs],
    )
