"""Clients of other servers, unmodified, against a running Takt.

Their packages conflict with each other and with Takt's, so that each has an environment of its own
(`environments.py`) and runs as a program (`programs/`).
"""
