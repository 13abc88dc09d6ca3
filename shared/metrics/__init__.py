"""What Takt tells Prometheus: every metric is declared here, whoever exports it.

gateway   of one gateway, at its /metrics          worker    of one worker, at its own small port
cluster   of the whole, at any gateway's /metrics/cluster: once, however many gateways there are

`metric` says what a declaration is, `distribution` counts values without locks, `exposition` makes text of
both. docs/metrics.md is made of these declarations.
"""
