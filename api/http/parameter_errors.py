"""Conversion of FastAPI's validation errors to InvalidInputError."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request

from shared.errors import InvalidInputError
from shared.input_problems import MOST_PROBLEMS, InputProblem
from shared.safe_texts import named
from shared.tabular.upload_options import unknown_parameter
from shared.validation_messages import of_pydantic

TICKET = "ticket"
"""The query parameter of signed links, which every route takes that a link may lead to."""


def invalid_parameters(error: RequestValidationError, known: Sequence[str] = ()) -> InvalidInputError:
    """The InvalidInputError for a validation error. `known` are the body fields of the route, for
    suggestions."""
    found = error.errors()
    problems = [
        InputProblem(
            row=None,
            field=str(problem["loc"][-1]),
            loc=list(problem["loc"]),
            msg=of_pydantic(problem["msg"], problem["type"], problem["loc"][-1], known),
            type=problem["type"],
        )
        for problem in found[:MOST_PROBLEMS]
    ]
    more = len(found) - len(problems)
    return InvalidInputError("Invalid request parameters.", problems=problems, more_problems=more)


def require_known_parameters(request: Request) -> None:
    """Raises InvalidInputError if the query has a parameter that the request's route does not take."""
    route = request.scope.get("route")
    if request.query_params and isinstance(route, APIRoute):
        known = [field.alias for field in route.dependant.query_params]
        _refuse(
            [unknown_parameter(name, known) for name in request.query_params if name not in (*known, TICKET)]
        )


def require_no_parameters(given: Iterable[str], fields: Sequence[str]) -> None:
    """Raises InvalidInputError if there is a parameter. `fields`: those of the body, which it may be meant
    for."""
    _refuse([_of_the_body(name) if name in fields else unknown_parameter(name, fields) for name in given])


def _of_the_body(name: str) -> InputProblem:
    reason = f"Parameter {named(name)} is for files: in a JSON body it is a field."
    return InputProblem(row=None, field=name, loc=["query", name], msg=reason, type="invalid_parameter")


def _refuse(problems: Sequence[InputProblem]) -> None:
    if problems:
        raise InvalidInputError("The request's parameters are wrong.", problems=problems)


def fields_of(request: Request) -> list[str]:
    """The names of the body fields of the request's route."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or route.body_field is None:
        return []
    model = route.body_field.field_info.annotation
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
