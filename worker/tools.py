"""The former place of the application for Celery tools: `celery -A worker.tools inspect ping`."""

from worker.broker.inspect import app

__all__ = ["app"]
