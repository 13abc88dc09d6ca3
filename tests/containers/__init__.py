"""The Dockerfiles and the compose file, really built and really run: `python -m tests.containers`."""
