"""/console: the page that operators keep open. It reads the public API like any client."""

from api.routes.console.routes import router

__all__ = ["router"]
