"""Parsing of rivals' predictions, and their comparison with the model's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOLERANCE = 0.001
"""Every rival loads the same artifact, but a network's probabilities are rounded to four digits."""


@dataclass(frozen=True)
class Answer:
    """A prediction for a row: the class and its probability."""

    label: str
    confidence: float


def is_right(answer: Answer, right: Answer) -> bool:
    return answer.label == right.label and abs(answer.confidence - right.confidence) <= TOLERANCE


def read_answer(body: bytes) -> Answer:
    """Parse an answer in the guide's format for the forest or for the network. Raises ValueError."""
    try:
        return _answer_of(json.loads(body))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an answer in the guide's shape: {error!r}") from error


def read_first(body: bytes) -> Answer:
    """Parse a list with a single answer, for servers that send batches as lists. Raises ValueError."""
    try:
        return read_answer(json.dumps(json.loads(body)[0]).encode())
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"not a list of answers: {error!r}") from error


def read_answers(body: bytes) -> list[Answer]:
    """Parse the answers to many rows, in the guide's format or as a list. Raises ValueError."""
    found = json.loads(body)
    if isinstance(found, list):
        found = found[0]
    try:
        return [_answer_of(fields) for fields in found["results"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the answers of many rows: {error!r}") from error


def _answer_of(fields: Mapping[str, Any]) -> Answer:  # Any: JSON
    if "predicted_class" in fields:
        return Answer(str(fields["predicted_class"]), max(fields["probabilities"]))
    return Answer(str(fields["prediction"]), float(fields["confidence"]))
