"""Principals. The principal of a request is the owner of its API key; without keys, it is ANONYMOUS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends, Request
from starlette.types import Scope

from api.access.limits import Quota
from shared.api_keys import DEFAULT_ROLES, DEFAULT_SHARE, OPEN_OWNER, Role, Share
from shared.errors import ForbiddenError, ModelNotFoundError
from shared.safe_texts import did_you_mean, named

_PLACE = "takt.principal"
_SEE_ALL_JOBS = frozenset((Role.ADMIN, Role.AUDIT))
_INCLUDE_READ = frozenset((Role.OPERATE, Role.AUDIT))


@dataclass(frozen=True)
class Principal:
    """The owner of an API key, with the key's permissions. Jobs belong to the principal that submits them."""

    name: str
    roles: frozenset[Role] = DEFAULT_ROLES
    models: frozenset[str] | None = None
    """The models that it sees; None: all."""
    quota: Quota | None = None
    """Its quota; None: unlimited."""
    share: Share = DEFAULT_SHARE
    """Its share of the service beside other owners."""

    @property
    def online_owner(self) -> str:
        """The owner by which its predictions are counted; empty without keys."""
        return "" if self is ANONYMOUS else self.name

    def owns(self, owner: str) -> bool:
        """Whether it may change the jobs of an owner."""
        return owner == self.name or self.changes_all_jobs

    @property
    def changes_all_jobs(self) -> bool:
        return Role.ADMIN in self.roles

    def reads(self, owner: str) -> bool:
        """Whether it may read the jobs of an owner."""
        return owner == self.name or self.sees_all_jobs

    @property
    def sees_all_jobs(self) -> bool:
        return not self.roles.isdisjoint(_SEE_ALL_JOBS)

    def may(self, role: Role) -> bool:
        return (
            role in self.roles
            or Role.ADMIN in self.roles
            or (role is Role.READ and not self.roles.isdisjoint(_INCLUDE_READ))
        )

    def require(self, role: Role) -> None:
        """Raises Forbidden."""
        if not self.may(role):
            raise ForbiddenError(f"This request needs an API key with the role {role.value!r}.")

    def sees(self, model: str) -> bool:
        return self.models is None or model in self.models

    def require_sight(self, model: str) -> None:
        """Raises ModelNotFoundError if it does not see the model, with the text for a missing model."""
        if not self.sees(model):
            raise no_such_model(model, self.models or ())


def no_such_model(model: str, seen: Iterable[str]) -> ModelNotFoundError:
    """The error for a missing model. `seen`: the models that the caller may see, existing or not."""
    return ModelNotFoundError(f"There is no model {named(model)}.{did_you_mean(model, sorted(seen))}")


ANONYMOUS = Principal(OPEN_OWNER, frozenset(Role) - _SEE_ALL_JOBS)
"""The principal of all requests if keys are not needed."""
STRANGER = Principal(OPEN_OWNER, frozenset(), frozenset())
"""The principal of a request without a valid key, at an endpoint that needs none."""
REGISTRY = Principal("mlflow", frozenset({Role.DEPLOY}))
"""The principal of a webhook of MLflow. The route checks its signature."""


def set_principal(scope: Scope, caller: Principal) -> None:
    """Store the principal of a request."""
    scope[_PLACE] = caller


def caller_of(scope: Scope) -> Principal:
    """The principal of a request, stored before any route is reached."""
    found: Principal = scope.get(_PLACE, ANONYMOUS)
    return found


async def principal(request: Request) -> Principal:
    return caller_of(request.scope)


Caller: TypeAlias = Annotated[Principal, Depends(principal)]
