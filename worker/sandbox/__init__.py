"""Quarantine: runs the rows of a chunk that ended two workers in separate processes."""
