"""Parameters and small bodies that FastAPI found wrong, as InvalidInput."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request

from shared.errors import MOST_PROBLEMS, InvalidInput, Problem
from shared.wording import of_pydantic


def invalid_parameters(error: RequestValidationError, known: Sequence[str] = ()) -> InvalidInput:
    """`known`: the fields that the route takes."""
    found = error.errors()
    problems = [
        Problem(
            row=None,
            field=str(one["loc"][-1]),
            loc=list(one["loc"]),
            msg=of_pydantic(one["msg"], one["type"], one["loc"][-1], known),
            type=one["type"],
        )
        for one in found[:MOST_PROBLEMS]
    ]
    more = len(found) - len(problems)
    return InvalidInput("The request's parameters are wrong.", problems=problems, more_problems=more)


def fields_of(request: Request) -> list[str]:
    """The names of the fields that the body of this request's route takes."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or route.body_field is None:
        return []
    model = route.body_field.field_info.annotation
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
