"""The former place of the application for Celery tools. It stays because probes and scripts of users call
`celery -A worker.tools inspect ping`; the changelog promises that they keep working."""

from worker.broker.inspect import app

__all__ = ["app"]
