"""What Prometheus scrapes of a gateway.

gateway   this gateway's own counts        cluster   queue, workers and lanes: the same from every gateway
routes    where both are asked for
"""
