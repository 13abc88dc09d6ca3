"""Environments of model versions: locking requirements, making environments, running a worker in them.

[environment] ─ uv pip compile ─▶ environment.lock ─ uv venv, uv pip sync ─▶ interpreter and packages
"""
