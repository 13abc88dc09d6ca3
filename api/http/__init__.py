"""HTTP itself: connections, heads and bodies, errors as answers, headers, traces of requests."""
