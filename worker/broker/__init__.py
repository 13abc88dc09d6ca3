"""Celery: the application, its transport, and doorbells."""
