"""Prometheus metrics.

gateway   metrics of this gateway
cluster   metrics of queue, workers and lanes, identical from every gateway
routes    the endpoints
"""
