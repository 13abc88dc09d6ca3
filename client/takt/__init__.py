"""Takt's Python SDK and the `takt` program."""
