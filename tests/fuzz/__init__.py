"""`python -m tests.fuzz`: a running Takt against its own OpenAPI document, with many examples."""
