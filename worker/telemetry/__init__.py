"""Metrics, history and traces of a worker."""
