"""Celery: the application, its transport, wake-up messages."""
