# ruff: noqa  # word for word as the guide writes it
# fmt: off
# app/schemas.py
from pydantic import BaseModel, Field


class PredictionRequest(BaseModel):
    """예측 요청 스키마 - feature 이름과 타입을 명시"""
    sepal_length: float = Field(..., ge=0, le=10, description="꽃받침 길이 (cm)")
    sepal_width: float = Field(..., ge=0, le=10, description="꽃받침 너비 (cm)")
    petal_length: float = Field(..., ge=0, le=10, description="꽃잎 길이 (cm)")
    petal_width: float = Field(..., ge=0, le=10, description="꽃잎 너비 (cm)")

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "sepal_length": 5.1,
                    "sepal_width": 3.5,
                    "petal_length": 1.4,
                    "petal_width": 0.2,
                }
            ]
        }
    }


class PredictionResponse(BaseModel):
    """예측 응답 스키마"""
    prediction: str = Field(..., description="예측된 클래스")
    confidence: float = Field(..., ge=0, le=1, description="예측 확률")
    model_version: str = Field(..., description="사용된 모델 버전")
