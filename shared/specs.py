"""`ModelSpec`: the declaration of a model in `models/<name>/model.toml`.

The gateway derives validation and OpenAPI from it, the worker columns and views. Neither needs the model
itself for that.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any, Literal, Self, TypeAlias

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from shared.batch_sizes import Batching, Limits
from shared.declarations import Declaration
from shared.environments import EnvironmentSpec
from shared.errors import SpecError
from shared.field_names import composed, spelled
from shared.frameworks import Options, Precision, declared, known_frameworks
from shared.frameworks.builtin import PytorchOptions
from shared.input_specs import InputSpec
from shared.model_identity import spec_digest
from shared.output_specs import CLASS_VIEWS, OutputSpec, View, shows_one_answer

NAME = r"^[a-z][a-z0-9_-]{0,62}$"
# Semantic Versioning 2.0.0, https://semver.org
VERSION = (
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
)


Row: TypeAlias = dict[str, Any]
"""An input or a result by field name, with JSON values (Any: the spec declares the types)."""


_UNLESS = ", unless `from` or `method` selects another answer"


class GoldenRow(Declaration):
    """A row with a known answer: it checks a loaded predictor before the predictor serves."""

    inputs: Row  # TOML has no null: a nullable input that is missing here is null
    outputs: Row = Field(min_length=1)  # all outputs or some of them
    tolerance: float = Field(1e-6, ge=0, description="largest permitted absolute difference of a number")

    @field_validator("inputs", "outputs")
    @classmethod
    def _composed(cls, row: Row) -> Row:
        return {composed(name): value for name, value in row.items()}


class ModelSpec(Declaration):
    """The declaration of a model, valid for all its versions."""

    name: str = Field(pattern=NAME)
    framework: str = Field(description="one of `known_frameworks()`")
    device: Literal["cpu", "gpu", "any"] = "any"
    runtime: Literal["auto", "native", "onnx"] = Field(
        "auto",
        description="auto: compiled, if that returns the same bits faster; native: never; onnx: like auto, "
        "and ONNX Runtime, if it is faster and within `tolerance`",
    )
    tolerance: float = Field(0.0, ge=0, description="permitted absolute difference of ONNX Runtime's answers")
    estimator_input: Literal["auto", "array", "dataframe", "texts"] = Field(
        "auto",
        description="input of a scikit-learn estimator; texts: the values of its only input, for a "
        "vectorizer; auto: the type it was fitted on, as far as recorded",
    )
    default_version: str = Field(pattern=VERSION)
    description: str = ""
    classes: tuple[str, ...] = ()
    response_model_version: bool = Field(
        True, description="whether the body of /predict contains the version, like its header"
    )
    keep_differing_rows: bool = Field(
        False, description="whether rows on which a shadow version disagrees are kept for a week"
    )
    inputs: tuple[InputSpec, ...] = Field(min_length=1)
    outputs: tuple[OutputSpec, ...] = Field(min_length=1)
    batching: Batching = Batching()
    limits: Limits = Limits()
    environment: EnvironmentSpec | None = Field(
        None, description="interpreter and packages of its versions; default: the worker's own"
    )
    options: SerializeAsAny[Options] = Field(
        Options(), validate_default=True, description="the table that has the framework's name"
    )
    golden: tuple[GoldenRow, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _table_of_framework(cls, document: Any) -> Any:  # Any: TOML
        """The table that has the framework's name is `options`; the tables of other frameworks are wrong."""
        if not isinstance(document, dict):
            return document
        framework, tables = document.get("framework"), dict(document)
        if framework in tables:
            tables["options"] = tables.pop(framework)
        for name in known_frameworks():
            if name in tables:
                raise ValueError(f"{name}: this table is for framework = {name!r}, not {framework!r}")
        return tables

    @field_validator("framework")
    @classmethod
    def _known_framework(cls, name: str) -> str:
        try:
            return declared(name).name
        except SpecError as error:
            raise ValueError(error.detail) from error

    @field_validator("options", mode="before")
    @classmethod
    def _typed_options(cls, table: Any, info: ValidationInfo) -> Options:  # Any: TOML
        if "framework" not in info.data:
            return Options()
        kind = declared(info.data["framework"]).options
        if isinstance(table, kind):
            return table
        return kind.model_validate({} if isinstance(table, Options) else table)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _unique("inputs", [i.name for i in self.inputs])
        _distinct(self.inputs)
        _unique("outputs", [o.name for o in self.outputs])
        _unique("classes", list(self.classes))
        if any(o.view is View.LABEL and not self.classes_of(o) for o in self.outputs):
            raise ValueError("classes: a label view needs classes")
        if self.response_model_version and "model_version" in {o.name for o in self.outputs}:
            raise ValueError("outputs: model_version is taken; set response_model_version = false")
        if self.precision is Precision.FLOAT16 and self.device != "gpu":
            raise ValueError("pytorch.precision: float16 needs device = 'gpu'; bfloat16 runs on both")
        return self

    @model_validator(mode="after")
    def _onnx_has_a_tolerance(self) -> Self:
        if (self.runtime == "onnx") != (self.tolerance > 0):
            raise ValueError("tolerance: runtime = 'onnx' needs a tolerance, and no other runtime has one")
        if self.runtime == "onnx" and self.framework != "scikit-learn":
            raise ValueError("runtime: onnx runs scikit-learn models only")
        return self

    @model_validator(mode="after")
    def _answers_are_selected(self) -> Self:
        """Outputs that select none of several answers show one answer: each must be derivable from it."""
        if declared(self.framework).names_answers:
            return self
        unselected = [o for o in self.outputs if not (o.source or o.method)]
        if len({o.shows_classes for o in unselected}) > 1:
            raise ValueError(f"outputs: class views cannot be combined with value and tensor views{_UNLESS}")
        whole = [o for o in unselected if not o.shows_classes and o.column is None]
        if len({(o.view, o.shape) for o in whole}) > 1:
            raise ValueError(f"outputs: value and tensor views must all have the same shape{_UNLESS}")
        return self

    @model_validator(mode="after")
    def _golden_rows_fit(self) -> Self:
        for number, row in enumerate(self.golden):
            _known(f"golden[{number}].inputs", row.inputs, self.input_names)
            _known(f"golden[{number}].outputs", row.outputs, [o.name for o in self.outputs])
            for field in self.inputs:
                if reason := field.problem(row.inputs.get(field.name)):
                    raise ValueError(f"golden[{number}].inputs.{field.name}: {reason}")
            for output in self.outputs:
                if output.name in row.outputs and (reason := output.problem(row.outputs[output.name])):
                    raise ValueError(f"golden[{number}].outputs.{output.name}: {reason}")
        without_example = [i.name for i in self.inputs if i.example is None and not i.nullable]
        if without_example and not self.golden:
            raise ValueError(f"inputs: {without_example[0]!r} needs an example, or the model a golden row")
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the meaning of rows and answers, see `shared/model_identity.py`."""
        return spec_digest(self)

    @property
    def classifies(self) -> bool:
        """Whether the predictor computes class probabilities rather than values."""
        return any(o.view in CLASS_VIEWS for o in self.outputs)

    @cached_property
    def shows_one_answer(self) -> bool:
        """Whether all outputs show a single array of float64."""
        return shows_one_answer(self.outputs)

    def classes_of(self, output: OutputSpec) -> tuple[str, ...]:
        """The classes that a class view shows; empty if they have no names."""
        return output.classes or self.classes

    @property
    def precision(self) -> Precision:
        return self.options.precision if isinstance(self.options, PytorchOptions) else Precision.FLOAT32

    @property
    def input_names(self) -> list[str]:
        return [i.name for i in self.inputs]

    @cached_property
    def most_slice_rows(self) -> int:
        """Rows of an offline call: `batching.max_slice_rows`, for images at most about 16 MiB of arrays."""
        return self.batching.slice_rows(sum(i.image.array_bytes for i in self.inputs if i.image))

    @property
    def has_images(self) -> bool:
        return any(i.image for i in self.inputs)

    @property
    def column_names(self) -> list[str]:
        """The names of the inputs in the estimator and in files."""
        return [i.column_name for i in self.inputs]

    @cached_property
    def input_keys(self) -> frozenset[str]:
        """Every field of a JSON row that holds an input."""
        return frozenset(key for field in self.inputs for key in field.keys)

    def input_of_column(self, column: str) -> InputSpec | None:
        """The input that a column of a file or of an estimator holds."""
        return self._by_spelling.get(spelled(column))

    @cached_property
    def _by_spelling(self) -> dict[str, InputSpec]:
        return {spelled(name): field for field in self.inputs for name in field.names}

    @property
    def positional(self) -> bool:
        """Whether a row may be a plain list: the features in order, or the values of the only tensor."""
        return len(self.inputs) == 1 or all(not i.shape for i in self.inputs)

    def runs_on(self, device: str) -> bool:
        """Whether a worker on `device` (`cpu` or `cuda:N`) may load this model."""
        return self.device in ("any", "cpu" if device == "cpu" else "gpu")

    def example_row(self) -> Row:
        """A valid row for documentation: the examples, else the inputs of the first golden row."""
        golden = self.golden[0].inputs if self.golden else {}
        return {i.name: i.example if i.example is not None else golden.get(i.name) for i in self.inputs}

    def golden_inputs(self) -> list[Row]:
        """The inputs of the golden rows; missing inputs are null."""
        return [{name: row.inputs.get(name) for name in self.input_names} for row in self.golden]


def _unique(kind: str, names: list[str]) -> None:
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(f"{kind}: {doubled[0]!r} occurs twice")


def _distinct(inputs: tuple[InputSpec, ...]) -> None:
    """Raises ValueError if a name, column or alias of an input is one of another input, up to spelling."""
    owners: dict[str, str] = {}
    for field in inputs:
        for name in field.names:
            owner = owners.setdefault(spelled(name), field.name)
            if owner != field.name:
                raise ValueError(f"inputs: {name!r} is a name of both {owner!r} and {field.name!r}")


def _known(kind: str, row: Row, names: list[str]) -> None:
    unknown = [name for name in row if name not in names]
    if unknown:
        raise ValueError(f"{kind}: there is no {unknown[0]!r}; there are: {', '.join(names)}")
