"""Prometheus metrics of Takt: every metric is declared here, for all programs.

gateway   of a gateway, at its /metrics            worker    of a worker, at its own port
cluster   of the whole, at any gateway's /metrics/cluster: once, however many gateways there are

`metric` defines declarations, `distribution` counts values without locks, `exposition` renders both as text.
docs/metrics.md is made of these declarations.
"""
