"""The inputs of a draft, from the facts of a trained file and a sample, and rows that they accept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.field_names import MOST_FIELD_NAME_CHARS, is_printable, spelled
from shared.input_specs import InputType
from shared.safe_texts import did_you_mean, first_of, listed, named
from shared.specs import Row
from worker.models.drafting.artifact_facts import DraftError, DraftFacts, Feature
from worker.models.drafting.sample_tables import Sample, SampleColumn

MOST_SINGLE_INPUTS = 64
"""Features without names: with more of them, a model gets one tensor."""
_LONG_TEXT_CHARS = 512
_SAMPLE_ROWS = 200
_TYPICAL: dict[InputType, Any] = {
    InputType.FLOAT: 1.0,
    InputType.FLOAT32: 1.0,
    InputType.INT64: 1,
    InputType.BOOL: True,
    InputType.STRING: "text",
}


@dataclass(frozen=True)
class DraftInput:
    """An `[[inputs]]` table. `column` is the input's name in the file, if it differs from `name`."""

    name: str
    column: str
    type: InputType
    example: Any
    shape: tuple[int, ...] = ()
    nullable: bool = False
    allowed: tuple[Any, ...] = ()
    seen: tuple[Any, ...] = ()  # categories that are no limit
    least: float | int | None = None  # of the sample, no limit
    greatest: float | int | None = None
    longest: int = 0
    image: Mapping[str, Any] = field(default_factory=dict)  # the table `image`
    most_steps: int | None = None


@dataclass(frozen=True)
class DraftInputs:
    """The inputs, rows that a golden row may be made of, and the columns of the sample that are no input."""

    inputs: tuple[DraftInput, ...]
    rows: tuple[Row, ...]
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def draft_inputs(facts: DraftFacts, sample: Sample | None, given: Sequence[str]) -> DraftInputs:
    """`given`: the names of `--inputs`, in the order of the model's features.

    Raises DraftError if the names of the inputs are unknown, or if the sample lacks one of them.
    """
    features = _features(facts, sample, given)
    headers = [_header(feature, name, sample) for feature, name in _with_names(features, given)]
    described = [
        sample.describe(header) if sample and header and not one.shape else None
        for header, one in zip(headers, features, strict=True)
    ]
    names = _names(given or [header or one.column for header, one in zip(headers, features, strict=True)])
    inputs = tuple(map(_input, features, names, described))
    if sample is None:
        note = "no --sample: the golden row is made up; types and ranges are those that the file records"
        return DraftInputs(inputs, ({one.name: one.example for one in inputs},), notes=(note,))
    rows = tuple(_rows(inputs, headers, sample))
    unused = tuple(name for name in sample.columns if name not in headers)
    return DraftInputs(tuple(with_example(one, rows) for one in inputs), rows, unused)


def with_example(one: DraftInput, rows: Iterable[Row]) -> DraftInput:
    """The input with its first value in the rows as its example."""
    values = (row.get(one.name) for row in rows)
    return replace(one, example=next((value for value in values if value is not None), one.example))


def _features(facts: DraftFacts, sample: Sample | None, given: Sequence[str]) -> tuple[Feature, ...]:
    """The features of the model in its order; without names, they get those of `given` or of the sample."""
    count = facts.count or len(facts.features) or None
    if given and count not in (None, len(given)):
        raise DraftError(f"--inputs: has {len(given)} names, but the model takes {count} inputs")
    if facts.is_named and facts.features:
        return facts.features
    if given or (sample is not None and not _holds_tensors(sample, facts.features)):
        names = given or _columns_of(facts, sample, count)
        known = facts.features
        if len(known) != len(names):  # a table in place of nothing known, or of a vector
            known = (Feature("", facts.column_type),) * len(names)
        return tuple(replace(one, column=name) for one, name in zip(known, names, strict=True))
    if facts.features:
        return facts.features
    if count is None:
        raise DraftError("the file records no inputs: give rows with --sample, or names with --inputs")
    if count > MOST_SINGLE_INPUTS:
        return (Feature("features", InputType.FLOAT, shape=(count,)),)
    return tuple(Feature(f"x{place}", InputType.FLOAT) for place in range(count))


def _holds_tensors(sample: Sample, features: Sequence[Feature]) -> bool:
    """Whether the sample has a column of lists for the only tensor."""
    return len(features) == 1 and bool(features[0].shape) and sample.find(features[0].column) is not None


def _with_names(features: Sequence[Feature], given: Sequence[str]) -> Iterator[tuple[Feature, str]]:
    return zip(features, given or [feature.column for feature in features], strict=True)


def _columns_of(facts: DraftFacts, sample: Sample | None, count: int | None) -> list[str]:
    """The columns of a sample that are the inputs of a model without names.

    Raises DraftError if it has others too, and it is not clear which they are.
    """
    assert sample is not None
    if count in (None, len(sample.columns)):
        return sample.columns
    texts = [column for column in sample.columns if _may_be_text(sample.describe(column), facts.classes)]
    if count == 1 and len(texts) == 1 and facts.features and facts.features[0].is_text:
        return texts
    raise DraftError(
        f"the model takes {count} inputs and records no names, and the sample has {len(sample.columns)} "
        f"columns ({listed(sample.columns)}): name the {count} columns in the order of training with "
        "--inputs a,b,c"
    )


def _may_be_text(column: SampleColumn, classes: Sequence[str]) -> bool:
    is_target = bool(column.categories) and set(column.categories) <= set(classes)
    return column.type is InputType.STRING and not is_target


def _header(feature: Feature, name: str, sample: Sample | None) -> str | None:
    """The column of the sample that holds a feature. Raises DraftError if the sample lacks it."""
    if sample is None:
        return None
    header = sample.find(feature.column) or sample.find(name)
    if header is None:
        near = did_you_mean(feature.column, sample.columns)
        raise DraftError(
            f"--sample: there is no column {named(feature.column)}, which the model takes.{near} "
            f"Found: {first_of(sample.columns)}"
        )
    return header


def _names(columns: Sequence[str]) -> list[str]:
    """The name of each column for clients: printable, short and unique."""
    names = [_printable(column) for column in columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DraftError(
            f"two inputs are called {named(twice[0])}: give each a name of its own with --inputs"
        )
    return names


def _printable(column: str) -> str:
    name = "".join(char for char in spelled(column) if is_printable(char))[:MOST_FIELD_NAME_CHARS].strip()
    return name or "input"


def _input(feature: Feature, name: str, column: SampleColumn | None) -> DraftInput:
    kind = _type_of(feature, column)
    categories = tuple(feature.categories)
    example = feature.typical
    if example is None:
        example = _nested(_TYPICAL.get(kind), feature.shape)
    one = DraftInput(
        name,
        feature.column,
        kind,
        example,
        feature.shape,
        allowed=categories if feature.is_closed else (),
        seen=() if feature.is_closed else categories,
        image=feature.image,
        most_steps=feature.most_steps,
    )
    if column is None:
        return one
    return replace(
        one,
        nullable=column.nullable,
        seen=one.seen or (() if one.allowed or feature.is_text else column.categories),
        least=column.least,
        greatest=column.greatest,
        longest=column.longest if column.longest > _LONG_TEXT_CHARS else 0,
    )


def _type_of(feature: Feature, column: SampleColumn | None) -> InputType:
    """The type in the file, else that of the sample. A float accepts the integers of a sample."""
    if column is None:
        return feature.type or InputType.FLOAT
    numbers = (InputType.FLOAT, InputType.FLOAT32, InputType.INT64, InputType.BOOL)
    if feature.type is None or (feature.type is InputType.FLOAT and column.type in numbers):
        return column.type
    return feature.type


def _rows(inputs: Sequence[DraftInput], headers: Sequence[str | None], sample: Sample) -> list[Row]:
    """Rows of the sample, spread over it. An input that the sample does not have gets its example."""
    count = len(sample.frame)
    places = range(0, count, max(1, count // _SAMPLE_ROWS))
    return [
        {
            one.name: _cast(one, sample.value(place, header)) if header else one.example
            for one, header in zip(inputs, headers, strict=True)
        }
        for place in places
    ]


def _cast(one: DraftInput, value: Any) -> Any:  # Any: a value of model.toml
    if value is None or one.shape or one.image:
        return value
    match one.type:
        case InputType.STRING:
            return str(value)
        case InputType.FLOAT | InputType.FLOAT32:
            return float(value)
        case _:
            return value


def _nested(value: Any, shape: tuple[int, ...]) -> Any:
    for length in reversed(shape):
        value = [value] * length
    return value
