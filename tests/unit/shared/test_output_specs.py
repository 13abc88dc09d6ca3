"""Declarations of outputs: selections, types, and the reasons why wrong declarations are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from shared.output_specs import OutputSpec, OutputType
from shared.specs import ModelSpec
from tests.support.specimens import classifier, declaration


def output(**changes: Any) -> OutputSpec:
    return OutputSpec.model_validate({"name": "y", "view": "value"} | changes)


@pytest.mark.parametrize(
    ("view", "kind"),
    [("label", "string"), ("class_index", "int64"), ("confidence", "float64"), ("value", "float64")],
)
def test_the_type_follows_from_the_view(view: str, kind: str) -> None:
    assert output(view=view).value_type is OutputType(kind)


def test_the_answer_of_a_tuple_is_selected_by_its_index() -> None:
    assert output(**{"from": 1}) == output(**{"from": "1"})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"view": "label", "type": "string"}, "type, nullable and method are for value and tensor views"),
        ({"view": "label", "method": "predict"}, "type, nullable and method are for value and tensor views"),
        ({"classes": ["a"]}, "classes are for class views, not value"),
        ({"view": "label", "classes": ["a", "a"]}, "classes: a class occurs twice"),
        ({"from": "a", "method": "predict"}, "set only one of them"),
        ({"method": "fit_predict"}, "method: fit_predict changes the estimator"),
        ({"method": "_private"}, "String should match pattern"),
        ({"type": "int64", "round": 2}, "int64 is not rounded"),
        ({"type": "int32"}, "Input should be 'float64', 'float32', 'int64', 'bool' or 'string'"),
        ({"column": -1}, "greater than or equal to 0"),
    ],
)
def test_a_wrong_output_is_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        output(**changes)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "value", "why"),
    [
        ({}, 1, None),
        ({}, "1", "'1' is not float64"),
        ({}, float("nan"), "is NaN, and the output is not nullable"),
        ({"nullable": True}, float("nan"), None),
        ({"type": "int64"}, 1.0, "1.0 is not int64"),
        ({"type": "int64"}, True, "True is not int64"),
        ({"type": "bool"}, 1, "1 is not bool"),
        ({"type": "string"}, "a", None),
        ({"view": "tensor", "shape": [2], "type": "int64"}, [1, 2], None),
        ({"view": "tensor", "shape": [2], "type": "int64"}, [1], "is not of shape [2]"),
    ],
)
def test_a_golden_value_has_the_type_and_shape_of_its_output(
    changes: dict[str, Any], value: object, why: str | None
) -> None:
    assert output(**changes).problem(value) == why


def test_a_wrong_golden_output_is_named() -> None:
    golden = [{"inputs": {"x": 1.0}, "outputs": {"y": "a"}}]
    with pytest.raises(ValidationError, match=r"golden\[0\]\.outputs\.y: 'a' is not float64"):
        declaration(golden=golden)


def test_only_outputs_that_show_one_array_of_floats_show_one_answer() -> None:
    value = {"name": "y", "view": "value"}
    assert declaration().shows_one_answer
    assert classifier().shows_one_answer
    assert declaration(outputs=[value | {"type": "float64"}]).shows_one_answer
    changes: list[dict[str, Any]] = [{"type": "int64"}, {"nullable": True}, {"method": "predict"}]
    for change in [*changes, {"from": "a"}, {"column": 0}]:
        assert not declaration(outputs=[value | change]).shows_one_answer


def test_outputs_of_other_kinds_need_to_select_their_answer() -> None:
    label = {"name": "label", "view": "label", "classes": ["a", "b"]}
    score = {"name": "score", "view": "value"}
    with pytest.raises(ValidationError, match=r"class views cannot be combined .* unless"):
        declaration(outputs=[label, score])
    both = declaration(outputs=[label, score | {"method": "score_samples"}])
    assert not both.shows_one_answer
    assert both.classes_of(both.outputs[0]) == ("a", "b")


def test_a_declaration_survives_its_own_document() -> None:
    spec = declaration(outputs=[{"name": "y", "view": "value", "from": "head", "type": "float32"}])
    assert ModelSpec.model_validate(spec.model_dump(mode="json")) == spec
