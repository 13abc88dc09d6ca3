"""Tests that build and run the Dockerfiles and the compose file: `python -m tests.containers`."""
