"""A table like AI4I 2020 (predictive maintenance): its headers unchanged, its values made from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

NUMBERS = [
    "Air temperature [K]",
    "Process temperature [K]",
    "Rotational speed [rpm]",
    "Torque [Nm]",
    "Tool wear [min]",
]
FEATURES = ["Type", *NUMBERS]
TARGET = "Machine failure"


def table(rows: int = 10_000, seed: int = 7) -> pd.DataFrame:
    """The rows; whether a machine failed follows from its values, and from chance."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["L", "M", "H"], rows, p=[0.6, 0.3, 0.1])
    air = np.round(rng.normal(300, 2, rows), 1)
    process = np.round(air + 10 + rng.normal(0, 1, rows), 1)
    speed = rng.gamma(8, 45, rows).astype(int) + 1168
    torque = np.round(rng.normal(40, 10, rows).clip(3.8, 76.6), 1)
    wear = rng.integers(0, 254, rows)
    strained = torque * wear > np.select([kind == "L", kind == "M"], [11_000, 12_000], 13_000)
    power = torque * speed * 2 * np.pi / 60
    failed = strained | (power < 3500) | (power > 9000) | (rng.random(rows) < 0.002)
    return pd.DataFrame(
        {
            "UDI": np.arange(1, rows + 1),
            "Product ID": [f"{k}{47_180 + n}" for n, k in enumerate(kind)],
            "Type": kind,
            "Air temperature [K]": air,
            "Process temperature [K]": process,
            "Rotational speed [rpm]": speed,
            "Torque [Nm]": torque,
            "Tool wear [min]": wear,
            TARGET: failed.astype(int),
        }
    )


def inputs() -> list[dict[str, Any]]:
    """The inputs of a model of this table, with the headers as names."""
    numbers = {"Rotational speed [rpm]": "int64", "Tool wear [min]": "int64"}
    return [
        {"name": "Type", "type": "string", "allowed": ["L", "M", "H"], "example": "L"},
        *({"name": name, "type": numbers.get(name, "float"), "example": 300} for name in NUMBERS),
    ]
