"""Conversion of FastAPI's validation errors to InvalidInput."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request

from shared.errors import MOST_PROBLEMS, InvalidInput, Problem
from shared.wording import of_pydantic


def invalid_parameters(error: RequestValidationError, known: Sequence[str] = ()) -> InvalidInput:
    """The InvalidInput for a validation error. `known` are the body fields of the route, for suggestions."""
    found = error.errors()
    problems = [
        Problem(
            row=None,
            field=str(problem["loc"][-1]),
            loc=list(problem["loc"]),
            msg=of_pydantic(problem["msg"], problem["type"], problem["loc"][-1], known),
            type=problem["type"],
        )
        for problem in found[:MOST_PROBLEMS]
    ]
    more = len(found) - len(problems)
    return InvalidInput("Invalid request parameters.", problems=problems, more_problems=more)


def fields_of(request: Request) -> list[str]:
    """The names of the body fields of the request's route."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or route.body_field is None:
        return []
    model = route.body_field.field_info.annotation
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
