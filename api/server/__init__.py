"""Connections: protocol, timeouts, shutdown and the fast path. The only users of uvicorn's private API."""
