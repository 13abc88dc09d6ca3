"""HTTP building blocks: heads and bodies, error responses, headers, request middleware."""
