"""The table of every endpoint and what it asks of a key. What does not stand here answers nobody.

A key needs one role of those that its endpoint names; `admin` has all of them. Whose jobs and which models
it sees is decided where they are looked up, see `api/jobs/authorization.py` and `Principal.sees`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.routing import compile_path

from api.access.principal import Principal
from shared.access import Role
from shared.errors import Forbidden


@dataclass(frozen=True)
class Permission:
    """What an endpoint asks for."""

    role: Role | None = None
    """None: any good key will do."""
    open: bool = False
    """It answers everybody, and shows nothing that is anybody's."""
    whole: bool = False
    """It shows the service as a whole: not to keys that are limited to some models."""
    in_browser: bool = False
    """A browser asks for it by itself, so that the key may come as a password (HTTP Basic)."""

    by_link: bool = False
    """A link may bear its permission (`api/access/signed_links.py`): browsers save it, and send no key."""

    def require(self, asker: Principal) -> None:
        """Raises Forbidden."""
        if self.role is not None:
            asker.require(self.role)
        if self.whole and asker.models is not None:
            raise Forbidden("This shows every model, and your key is limited to some.")


OPEN = Permission(open=True)
ANY_KEY = Permission()
PREDICT, SUBMIT, READ = Permission(Role.PREDICT), Permission(Role.SUBMIT), Permission(Role.READ)
SAVE = Permission(Role.READ, by_link=True)
OPERATE = Permission(Role.READ, whole=True)
"""To look at the service as its operators do."""

ENDPOINTS: Mapping[str, Mapping[str, Permission]] = {
    # for probes and load balancers
    "/health": {"GET": OPEN},
    "/health/live": {"GET": OPEN},
    "/health/ready": {"GET": OPEN},
    # pages without anything in them: what they show, they ask for
    "/": {"GET": OPEN},
    "/docs": {"GET": OPEN},
    "/docs/oauth2-redirect": {"GET": OPEN},
    "/redoc": {"GET": OPEN},
    "/static-offline-docs/{path:path}": {"GET": OPEN},
    "/console": {"GET": OPEN},
    "/console/": {"GET": OPEN},
    "/console/{name}": {"GET": OPEN},
    "/openapi.json": {"GET": Permission(whole=True, in_browser=True)},
    # predictions, which `api/routes/predict.py` answers
    "/predict": {"POST": PREDICT},
    "/predict/batch": {"POST": PREDICT},
    "/models/{name}/predict": {"POST": PREDICT},
    "/models/{name}/predict/batch": {"POST": PREDICT},
    "/models/{name}/versions/{version}/predict": {"POST": PREDICT},
    "/models/{name}/versions/{version}/predict/batch": {"POST": PREDICT},
    # models
    "/models": {"GET": ANY_KEY},
    "/models/{name}": {"GET": ANY_KEY},
    "/models/{name}/versions/{version}": {"GET": ANY_KEY},
    "/model-info": {"GET": ANY_KEY},
    # what operators, Prometheus and autoscalers look at
    "/metrics": {"GET": OPERATE},
    "/metrics/cluster": {"GET": OPERATE},
    "/metrics/targets": {"GET": OPERATE},
    "/workers": {"GET": OPERATE},
    "/lanes": {"GET": OPERATE},
    "/history": {"GET": OPERATE},
    "/scaling": {"GET": OPERATE},
    "/scaling/{model}": {"GET": OPERATE},
    "/scaling/{model}/versions/{version}": {"GET": OPERATE},
    # jobs
    "/jobs": {"GET": READ, "POST": SUBMIT},
    "/jobs/{job_id}": {"GET": READ, "PATCH": SUBMIT, "DELETE": SUBMIT},
    "/jobs/{job_id}/events": {"GET": READ},
    "/jobs/{job_id}/results": {"GET": SAVE},
    "/jobs/{job_id}/errors": {"GET": SAVE},
    "/jobs/{job_id}/manifest": {"GET": SAVE},
    "/jobs/{job_id}/links": {"POST": READ},
    "/jobs/{job_id}/cancel": {"POST": SUBMIT},
    "/jobs/{job_id}/pause": {"POST": SUBMIT},
    "/jobs/{job_id}/resume": {"POST": SUBMIT},
}


def _patterns() -> dict[str, list[tuple[re.Pattern[str], str]]]:
    """The patterns of paths in which something varies, by the first part of their path."""
    found: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for path in ENDPOINTS:
        if "{" in path:
            found.setdefault(path.split("/")[1], []).append((compile_path(path)[0], path))
    return found


_PATTERNS = _patterns()


def endpoint_of(path: str) -> str | None:
    """The endpoint of a path, as the table names it; None if there is none."""
    if path in ENDPOINTS:
        return path
    among = _PATTERNS.get(path[1:].partition("/")[0], ())
    return next((endpoint for pattern, endpoint in among if pattern.match(path)), None)


def rules_of(path: str) -> Mapping[str, Permission]:
    """What each method of a path asks for; none: there is no such endpoint."""
    endpoint = endpoint_of(path)
    return {} if endpoint is None else ENDPOINTS[endpoint]


def rule_of(method: str, rules: Mapping[str, Permission]) -> Permission | None:
    """HEAD asks for what GET does."""
    return rules.get("GET" if method == "HEAD" else method)


def allow_of(rules: Mapping[str, Permission]) -> str:
    """The value of `Allow` for an endpoint with these rules (RFC 9110, 10.2.1)."""
    head = ("HEAD",) if "GET" in rules else ()
    return ", ".join(sorted({*rules, *head, "OPTIONS"}))
