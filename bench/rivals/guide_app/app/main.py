# ruff: noqa  # word for word as the guide writes it
# fmt: off
# app/main.py
import joblib
import numpy as np
from contextlib import asynccontextmanager
from fastapi import FastAPI
from app.schemas import PredictionRequest, PredictionResponse

ml_models = {}
LABEL_MAP = {0: "setosa", 1: "versicolor", 2: "virginica"}


@asynccontextmanager
async def lifespan(app: FastAPI):
    ml_models["iris"] = joblib.load("models/iris_model.joblib")
    ml_models["version"] = "1.0.0"
    yield
    ml_models.clear()


app = FastAPI(title="Iris Prediction API", lifespan=lifespan)


# CPU 바운드이므로 일반 def 사용 (FastAPI가 threadpool에서 실행)
@app.post("/predict", response_model=PredictionResponse)
def predict(request: PredictionRequest):
    """단건 예측 엔드포인트"""
    # Pydantic 모델 → numpy 배열 변환
    features = np.array([[
        request.sepal_length,
        request.sepal_width,
        request.petal_length,
        request.petal_width,
    ]])

    # 예측 수행
    prediction = ml_models["iris"].predict(features)[0]
    probabilities = ml_models["iris"].predict_proba(features)[0]

    return PredictionResponse(
        prediction=LABEL_MAP[prediction],
        confidence=float(probabilities.max()),
        model_version=ml_models["version"],
    )
