"""Measurements of a supervisor and its workers, from the outside: `python -m bench.supervision`."""
