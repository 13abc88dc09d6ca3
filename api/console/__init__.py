"""/console: the page that operators keep open. It reads the public API like any client."""

from api.console.routes import router

__all__ = ["router"]
