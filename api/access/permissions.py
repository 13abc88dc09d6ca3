"""The table of all endpoints and their permissions. A path that is not in the table answers 404.

A key needs the role of the endpoint; `admin` includes all roles, `operate` and `audit` include `read`. Which
jobs and models a key sees is decided when they are looked up: see `api/jobs/authorization.py` and
`Principal.sees`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.routing import compile_path

from api.access.principal import Principal
from shared.api_keys import Role
from shared.errors import ForbiddenError

MLFLOW_SIGNATURE = b"x-mlflow-signature"
"""The header with the signature of a webhook of MLflow."""


@dataclass(frozen=True)
class Permission:
    """The requirements of an endpoint."""

    role: Role | None = None
    """The role that the key needs; None: any valid key."""
    open: bool = False
    """No key is needed: the endpoint shows nobody's data."""
    whole: bool = False
    """The endpoint shows all models: keys that are limited to some models get 403."""
    in_browser: bool = False
    """Browsers request it directly, so that the key may come as a password (HTTP Basic)."""
    audited: bool = False
    """The endpoint only reads, so that the role `audit` suffices."""
    by_link: bool = False
    """A signed link suffices (`api/access/signed_links.py`): a browser that saves a file sends no key."""
    by_signature: bool = False
    """The signature of a webhook of MLflow suffices; the route checks it, because it covers the body."""

    def require(self, caller: Principal) -> None:
        """Raises Forbidden."""
        if self.role is not None and not (self.audited and caller.may(Role.AUDIT)):
            caller.require(self.role)
        if self.whole and caller.models is not None:
            raise ForbiddenError(
                "This endpoint shows all models, but your API key is limited to some models."
            )


OPEN = Permission(open=True)
ANY_KEY = Permission()
PREDICT, SUBMIT, READ = Permission(Role.PREDICT), Permission(Role.SUBMIT), Permission(Role.READ)
DEPLOY, DEPLOYED = (Permission(Role.DEPLOY, audited=audited) for audited in (False, True))
DEPLOY_SIGNED = Permission(Role.DEPLOY, by_signature=True)
SAVE = Permission(Role.READ, by_link=True)
STATE = Permission(Role.READ, whole=True)
"""The state of the service."""
OPERATE, INSPECT = (Permission(Role.OPERATE, whole=True, audited=audited) for audited in (False, True))
ADMIN, REVIEW = (Permission(Role.ADMIN, whole=True, audited=audited) for audited in (False, True))
"""Changes and reads of operators and of administrators."""

ENDPOINTS: Mapping[str, Mapping[str, Permission]] = {
    # for probes and load balancers
    "/health": {"GET": OPEN},
    "/health/live": {"GET": OPEN},
    "/health/ready": {"GET": OPEN},
    # static pages, which fetch their data with the user's key
    "/": {"GET": OPEN},
    "/docs": {"GET": OPEN},
    "/docs/oauth2-redirect": {"GET": OPEN},
    "/redoc": {"GET": OPEN},
    "/static-offline-docs/{path:path}": {"GET": OPEN},
    "/console": {"GET": OPEN},
    "/console/": {"GET": OPEN},
    "/console/{name}": {"GET": OPEN},
    "/openapi.json": {"GET": Permission(whole=True, in_browser=True)},
    # sign-in of people
    "/session": {"GET": OPEN},
    "/sign-in": {"GET": OPEN},
    "/sign-in/callback": {"GET": OPEN},
    "/sign-out": {"POST": ANY_KEY},
    # predictions, answered by `api/routes/predict.py`
    "/predict": {"POST": PREDICT},
    "/predict/batch": {"POST": PREDICT},
    "/models/{name}/predict": {"POST": PREDICT},
    "/models/{name}/predict/batch": {"POST": PREDICT},
    "/models/{name}/versions/{version}/predict": {"POST": PREDICT},
    "/models/{name}/versions/{version}/predict/batch": {"POST": PREDICT},
    # the Open Inference Protocol; inference is answered by `api/routes/predict.py`
    "/v2": {"GET": ANY_KEY},
    "/v2/health/live": {"GET": OPEN},
    "/v2/health/ready": {"GET": OPEN},
    "/v2/models/stats": {"GET": READ},
    "/v2/models/{model}": {"GET": ANY_KEY},
    "/v2/models/{model}/config": {"GET": ANY_KEY},
    "/v2/models/{model}/ready": {"GET": ANY_KEY},
    "/v2/models/{model}/stats": {"GET": READ},
    "/v2/models/{model}/infer": {"POST": PREDICT},
    "/v2/models/{model}/versions/{version}": {"GET": ANY_KEY},
    "/v2/models/{model}/versions/{version}/config": {"GET": ANY_KEY},
    "/v2/models/{model}/versions/{version}/ready": {"GET": ANY_KEY},
    "/v2/models/{model}/versions/{version}/stats": {"GET": READ},
    "/v2/models/{model}/versions/{version}/infer": {"POST": PREDICT},
    "/v2/repository/index": {"POST": ANY_KEY},
    "/v2/repository/models/{model}/load": {"POST": DEPLOY},
    "/v2/repository/models/{model}/unload": {"POST": DEPLOY},
    # MLflow's scoring protocol; invocations are answered by `api/routes/predict.py`
    "/invocations": {"POST": PREDICT},
    "/models/{name}/invocations": {"POST": PREDICT},
    "/ping": {"GET": OPEN},
    "/version": {"GET": OPEN},
    "/execution-parameters": {"GET": OPEN},
    # models
    "/models": {"GET": ANY_KEY},
    "/models/{name}": {"GET": ANY_KEY},
    "/models/{name}/versions": {"GET": READ, "POST": DEPLOY},
    "/models/{name}/versions/{version}": {"GET": ANY_KEY, "DELETE": DEPLOY},
    "/models/{name}/versions/{version}/archive": {"GET": DEPLOYED},
    "/models/{name}/versions/{version}/verify": {"POST": DEPLOY},
    "/models/{name}/deployment": {"GET": READ, "PUT": DEPLOY},
    "/models/{name}/deployment/history": {"GET": READ},
    "/models/{name}/shadow/rows": {"GET": DEPLOYED},
    "/models/{name}/rollback": {"POST": DEPLOY},
    "/models/{name}/rollouts": {"GET": READ, "POST": DEPLOY},
    "/webhooks/mlflow": {"POST": DEPLOY_SIGNED},
    "/model-info": {"GET": ANY_KEY},
    # for operators, Prometheus and autoscalers
    "/metrics": {"GET": STATE},
    "/metrics/cluster": {"GET": STATE},
    "/metrics/targets": {"GET": STATE},
    "/status": {"GET": STATE},
    "/workers": {"GET": STATE},
    "/lanes": {"GET": STATE},
    "/history": {"GET": STATE},
    "/history/hours": {"GET": STATE},
    "/scaling": {"GET": STATE},
    "/scaling/{model}": {"GET": STATE},
    "/scaling/{model}/versions/{version}": {"GET": STATE},
    "/workers/{name:path}/drain": {"POST": OPERATE},
    "/workers/{name:path}/undrain": {"POST": OPERATE},
    "/workers/{name:path}/restart": {"POST": OPERATE},
    "/workers/{name:path}/stack": {"GET": INSPECT},
    "/workers/{name:path}/log": {"GET": INSPECT},
    "/dead-letters": {"GET": INSPECT},
    "/dead-letters/{letter}": {"GET": INSPECT, "DELETE": OPERATE},
    "/dead-letters/{letter}/requeue": {"POST": OPERATE},
    "/storage": {"GET": INSPECT},
    "/storage/clean": {"POST": OPERATE},
    "/versions": {"GET": STATE},
    "/settings": {"GET": REVIEW},
    "/keys": {"GET": REVIEW, "POST": ADMIN},
    "/keys/{key}": {"DELETE": ADMIN},
    "/owners/{owner}": {"PATCH": ADMIN},
    # jobs
    "/jobs": {"GET": READ, "POST": SUBMIT},
    "/jobs/actions": {"POST": SUBMIT},
    "/jobs/{job_id}": {"GET": READ, "PATCH": SUBMIT, "DELETE": SUBMIT},
    "/jobs/{job_id}/events": {"GET": READ},
    "/jobs/{job_id}/results": {"GET": SAVE},
    "/jobs/{job_id}/errors": {"GET": SAVE},
    "/jobs/{job_id}/input": {"GET": SAVE},
    "/jobs/{job_id}/chunks": {"GET": READ},
    "/jobs/{job_id}/timeline": {"GET": READ},
    "/jobs/{job_id}/manifest": {"GET": SAVE},
    "/jobs/{job_id}/links": {"POST": READ},
    "/jobs/{job_id}/difference": {"GET": READ},
    "/jobs/{job_id}/replay": {"POST": SUBMIT},
    "/jobs/{job_id}/retry": {"POST": SUBMIT},
    "/jobs/{job_id}/cancel": {"POST": SUBMIT},
    "/jobs/{job_id}/pause": {"POST": SUBMIT},
    "/jobs/{job_id}/resume": {"POST": SUBMIT},
}

RPC_SERVICE = "inference.GRPCInferenceService"
RPCS: Mapping[str, Permission] = {
    "ServerLive": OPEN,
    "ServerReady": OPEN,
    "ServerMetadata": ANY_KEY,
    "ModelReady": ANY_KEY,
    "ModelMetadata": ANY_KEY,
    "ModelConfig": ANY_KEY,
    "ModelStatistics": READ,
    "ModelInfer": PREDICT,
    "ModelStreamInfer": PREDICT,
    "RepositoryIndex": ANY_KEY,
    "RepositoryModelLoad": DEPLOY,
    "RepositoryModelUnload": DEPLOY,
}
"""The calls of gRPC."""


def _patterns() -> dict[str, list[tuple[re.Pattern[str], str]]]:
    """Patterns of the paths with parameters, by the first segment of the path."""
    found: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for path in ENDPOINTS:
        if "{" in path:
            found.setdefault(path.split("/")[1], []).append((compile_path(path)[0], path))
    return found


_PATTERNS = _patterns()


def endpoint_of(path: str) -> str | None:
    """The table's endpoint for a path; None if there is none."""
    if path in ENDPOINTS:
        return path
    among = _PATTERNS.get(path[1:].partition("/")[0], ())
    return next((endpoint for pattern, endpoint in among if pattern.match(path)), None)


def permissions_of(path: str) -> Mapping[str, Permission]:
    """The permissions of a path by method; empty if there is no such endpoint."""
    endpoint = endpoint_of(path)
    return {} if endpoint is None else ENDPOINTS[endpoint]


def permission_of(method: str, permissions: Mapping[str, Permission]) -> Permission | None:
    """The permission of a method; HEAD has that of GET."""
    return permissions.get("GET" if method == "HEAD" else method)


def allow_of(permissions: Mapping[str, Permission]) -> str:
    """The value of `Allow` for an endpoint with these rules (RFC 9110, 10.2.1)."""
    head = ("HEAD",) if "GET" in permissions else ()
    return ", ".join(sorted({*permissions, *head, "OPTIONS"}))
