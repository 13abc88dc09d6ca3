"""The only users of uvicorn's private API: protocol, timeouts, serving, fast path."""
