"""`python -m tests.fuzz`: fuzzing of a running Takt with examples generated from its OpenAPI document."""
