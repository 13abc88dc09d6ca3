"""The operator console at /console: static pages that read the public API like any client."""

from api.routes.console.routes import router

__all__ = ["router"]
