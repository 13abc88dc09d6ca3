"""API keys in the OpenAPI document: security schemes, and the role that each operation requires."""

from __future__ import annotations

from typing import Any

from api.access.permissions import Permission, permission_of, permissions_of
from api.http.errors import ErrorBody, of_errors

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `takt_…`"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key: `takt_…`"},
}
_CONTENT = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}}


def describe_access(document: dict[str, Any]) -> None:  # Any: JSON
    """Add the security schemes, and to each operation its required role and its access errors."""
    document["components"]["securitySchemes"] = _SCHEMES
    document["security"] = [{name: []} for name in _SCHEMES]
    for path, operations in document["paths"].items():
        rules = permissions_of(path)
        for method, operation in operations.items():
            rule = permission_of(method.upper(), rules)
            if rule is None or rule.open:
                operation["security"] = []
            else:
                _describe(operation, rule)


def _describe(operation: dict[str, Any], rule: Permission) -> None:
    needed = f"Requires an API key with the role `{rule.role}`." if rule.role else "Requires an API key."
    operation["description"] = f"{operation.get('description', '')}\n\n{needed}".strip()
    for status, response in of_errors(401, 403, 429).items():
        operation["responses"][str(status)] = {"description": response["description"], "content": _CONTENT}
