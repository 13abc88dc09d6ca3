"""What a trained file says about itself: its inputs, outputs and classes, as far as it records them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.errors import OperatorError
from shared.input_specs import InputType
from shared.output_specs import OutputType, View

if TYPE_CHECKING:
    from worker.models.drafting.sample_tables import Sample


class DraftError(OperatorError):
    """The given files do not contain enough, or contain something wrong, for a model that verifies."""


FLOAT64_TOLERANCE = 1e-6
"""Of golden rows, relative to the largest answer: of frameworks that compute in float64."""
FLOAT32_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Feature:
    """An input. None and empty values are unknown; a sample may add them."""

    column: str  # its name in the file
    type: InputType | None = None
    shape: tuple[int, ...] = ()
    categories: tuple[Any, ...] = ()  # strings or integers (Any: they decide the type)
    is_closed: bool = False  # whether another category is an error of the model
    typical: Any = None  # a value that it may have
    is_text: bool = False  # free text, so that few different values in a sample are no categories
    image: Mapping[str, Any] = field(default_factory=dict)  # the table `image`, if it is one
    most_steps: int | None = None  # of a sequence


@dataclass(frozen=True)
class DraftOutput:
    """An output, with the keys of `[[outputs]]`."""

    name: str
    view: View
    source: str = ""
    method: str = ""
    column: int | None = None
    type: OutputType | None = None
    shape: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class DraftFacts:
    """A trained file. `features` is empty if the file does not record its inputs."""

    framework: str
    features: tuple[Feature, ...]
    outputs: tuple[DraftOutput, ...]
    classes: tuple[str, ...] = ()
    count: int | None = None  # of inputs, if only their number is recorded
    is_named: bool = True  # whether the names of `features` are the file's, not made up here
    column_type: InputType | None = None  # of the columns of a table in place of an only vector
    may_classify: int | None = None  # number of classes, if the only answer may be their scores
    activation: str = "none"  # makes these scores probabilities
    options: Mapping[str, Any] = field(default_factory=dict)  # the table of the framework
    keys: Mapping[str, Any] = field(default_factory=dict)  # further keys of model.toml
    rows: Sample | None = None  # that the file has itself, in place of a sample
    tolerance: float = FLOAT64_TOLERANCE
    notes: tuple[str, ...] = ()


def class_outputs(*, probabilities: bool) -> tuple[DraftOutput, ...]:
    """The outputs of a classifier."""
    label = DraftOutput("prediction", View.LABEL, description="The predicted class")
    if not probabilities:
        return (label,)
    return (
        label,
        DraftOutput("confidence", View.CONFIDENCE, description="Probability of the predicted class"),
        DraftOutput("probabilities", View.PROBABILITIES, description="Probability of each class, in order"),
    )


def value_outputs(width: int = 1) -> tuple[DraftOutput, ...]:
    """The output of a regression of `width` values per row."""
    if width == 1:
        return (DraftOutput("value", View.VALUE, description="The predicted value"),)
    return (DraftOutput("values", View.TENSOR, shape=(width,), description="The predicted values"),)
