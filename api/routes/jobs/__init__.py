"""Job endpoints."""
